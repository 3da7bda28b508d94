//go:build unix

package main

import (
	"io/fs"
	"os"
	"syscall"
)

// keepFilesPrivate lets only the owner open the files that this process creates. SQLite's -wal
// file holds password hashes, and the driver creates it with whatever mode the umask allows.
func keepFilesPrivate() { syscall.Umask(0o077) }

// giveToOwnerOf makes the owner of a file the owner of another, as SQLite's own code does for
// root: a command of root must not lock out the server that uses the same database.
func giveToOwnerOf(file fs.FileInfo, path string) error {
	owner, ok := file.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 || owner.Uid == 0 && owner.Gid == 0 {
		return nil
	}
	return os.Lchown(path, int(owner.Uid), int(owner.Gid))
}
