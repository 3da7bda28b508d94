package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// createFile makes a new file, for its owner only, with what fill puts into it. The file appears
// when it is whole, and then outlasts a power cut. A file that exists is left as it is, even one
// that somebody else makes meanwhile. A failure leaves nothing behind.
func createFile(path string, fill func(*os.File) error) error {
	if _, err := os.Lstat(path); err == nil {
		return errFileExists(path)
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".latchkey-*") // mode 0600
	if err != nil {
		return fmt.Errorf("cannot create a file beside %s: %w", printable(path), withoutPath(err))
	}
	defer os.Remove(file.Name())
	defer file.Close() // a second Close does nothing
	if err := fill(file); err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := giveName(file.Name(), path); err != nil {
		return err
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func errFileExists(path string) error {
	return fmt.Errorf("%s already exists; want a new file", printable(path))
}

// giveName gives a file its final name, and fails if the name is taken.
func giveName(temporary, path string) error {
	err := os.Link(temporary, path) // unlike Rename, it replaces nothing
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrExist) {
		return errFileExists(path)
	}
	claim, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // a file system without links
	if errors.Is(err, fs.ErrExist) {
		return errFileExists(path)
	}
	if err != nil {
		return fmt.Errorf("cannot create %s: %w", printable(path), withoutPath(err))
	}
	claim.Close()
	if err := os.Rename(temporary, path); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// syncFolder makes a new name in a folder outlast a power cut. Folders that cannot be opened or
// synced, as on Windows, are left to the system.
func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer folder.Close()
	err = folder.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
