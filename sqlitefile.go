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
// SQLite's own errors are vague. If the file is missing, readWriteCreate makes it, for its owner only;
// otherwise it returns an fs.ErrNotExist. keepFilesPrivate protects the files that
// SQLite puts beside it.
func prepareFile(path string, mode openMode) (warnings []string, err error) {
	flags, want := os.O_RDWR, "read and write"
	switch mode {
	case readOnly:
		flags, want = os.O_RDONLY, "read"
	case readWriteCreate:
		flags |= os.O_CREATE
	}
	if mode != readOnly {
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

// A pacer lets other processes write between the transactions of a bulk load. SQLite has no queue
// for them: they ask for the lock again and again, up to a tenth of a second apart.
type pacer struct {
	version      int64         // PRAGMA data_version, which others change
	contendedFor int           // for how many transactions others are still thought to write
	worked       time.Duration // since the last pause
}

// transaction returns how many of n rows to write in the next transaction: fewer while other
// processes wait for its end.
func (p *pacer) transaction(n int) int {
	const contended = 1000
	if p.contendedFor > 0 {
		return min(n, contended)
	}
	return n
}

// pause returns how long to wait after a transaction. While other processes write, that is a
// quarter of the time it took. Otherwise it is longestRetry once per second of work, so that a
// process that begins to write gets the lock.
func (p *pacer) pause(took time.Duration, version int64) time.Duration {
	const longestRetry, contentionMemory = 110 * time.Millisecond, 20
	if p.version != 0 && version != p.version {
		p.contendedFor = contentionMemory
	}
	p.version = version
	if p.contendedFor > 0 {
		p.contendedFor--
		p.worked = 0
		return took / 4
	}
	if p.worked += took; p.worked < time.Second {
		return 0
	}
	p.worked = 0
	return longestRetry
}
