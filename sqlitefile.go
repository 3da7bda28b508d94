package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// prepareFile returns warnings, and a clear error if SQLite could not use the file, because
// SQLite's own errors are vague. If the file is missing, readWriteCreate makes it, for its owner
// only; another mode returns an fs.ErrNotExist. keepFilesPrivate protects the files that SQLite
// puts beside it.
func prepareFile(path string, mode openMode) (warnings []string, err error) {
	flags, want := os.O_RDWR, "read and write"
	switch mode {
	case leaveSchema:
		flags, want = os.O_RDONLY, "read"
	case readWriteCreate:
		flags |= os.O_CREATE
	}
	if mode != leaveSchema {
		if err := checkDirectory(filepath.Dir(path)); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("want a file that this user may %s: %w", want, withoutPath(err))
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("want a regular file")
	}
	if info.Mode().Perm()&0o077 != 0 {
		warnings = append(warnings, fmt.Sprintf("others on this machine may open %s, with every password hash in it; want mode 0600", path))
	}
	return warnings, nil
}

// checkDirectory returns an error if SQLite cannot create its own files in a directory.
func checkDirectory(dir string) error {
	probe, err := os.CreateTemp(dir, ".latchkey-*")
	if err != nil { // %v, because a missing directory is not a file that readWriteCreate could make
		return fmt.Errorf("want a directory that takes new files, because SQLite puts some beside it: %v", withoutPath(err))
	}
	probe.Close()
	return os.Remove(probe.Name())
}

// withoutPath returns an error without the path, which the caller adds.
func withoutPath(err error) error {
	if bad, ok := errors.AsType[*fs.PathError](err); ok {
		return bad.Err
	}
	return err
}

// lookInterval is how often reads check that the file is still there. Writes always do.
const lookInterval = 500 * time.Millisecond

// A fileWatch notices if one of SQLite's files is removed or replaced while it is open. SQLite
// would go on with the old file, which nobody will open again, and might mix old and new.
type fileWatch struct {
	path string
	log  *slog.Logger

	opened map[string]fs.FileInfo // by path, as they were when SQLite opened them
	lookAt atomic.Int64           // when the next check is due, in nanoseconds since 1970

	mu   sync.Mutex // guards lost
	lost bool
}

// begin remembers the files that SQLite has opened. Not every system has all of them.
func (w *fileWatch) begin() error {
	w.opened = make(map[string]fs.FileInfo)
	for _, path := range []string{w.path, w.path + "-wal", w.path + "-shm"} {
		info, err := os.Stat(path)
		if err == nil {
			w.opened[path] = info
			err = giveToOwnerOf(w.opened[w.path], path)
		}
		if err != nil && (path == w.path || !errors.Is(err, fs.ErrNotExist)) {
			return fmt.Errorf("cannot find the SQLite file %s again: %w", w.path, withoutPath(err))
		}
	}
	return nil
}

// look returns an error unless every file is the one that was opened. It logs the loss once,
// and also when all files are back.
func (w *fileWatch) look() error {
	err := w.compare()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && !w.lost {
		w.log.Error("the database is lost", "err", err, "want", "restore the original file, or restart to use the current one")
	}
	if err == nil && w.lost {
		w.log.Info("the database is back", "file", w.path)
	}
	w.lost = err != nil
	due := time.Now().Add(lookInterval).UnixNano()
	if w.lost {
		due = 0
	}
	w.lookAt.Store(due)
	return err
}

// lookNowAndThen is look for reads: it checks once every lookInterval.
func (w *fileWatch) lookNowAndThen() error {
	if time.Now().UnixNano() < w.lookAt.Load() {
		return nil
	}
	return w.look()
}

func (w *fileWatch) compare() error {
	for path, opened := range w.opened {
		now, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%s was removed while in use", path)
		case err != nil:
			return fmt.Errorf("%s cannot be found: %w", path, withoutPath(err))
		case !os.SameFile(now, opened):
			return fmt.Errorf("%s was replaced while in use", path)
		}
	}
	return nil
}

// A contention notices whether other processes write to the file during a bulk load.
type contention struct {
	version int64 // PRAGMA data_version, which others change
	left    int   // for how many transactions they are still thought to write
}

func (c *contention) note(version int64) {
	if c.left--; c.version != 0 && version != c.version {
		c.left = 20
	}
	c.version, c.left = version, max(c.left, 0)
}

// limit returns how many of n rows to write in the next transaction.
func (c *contention) limit(n int) int {
	const most = 1500 // for which others wait a tenth of a second or two
	if c.left > 0 {
		return min(n, most)
	}
	return n
}
