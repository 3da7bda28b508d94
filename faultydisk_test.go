package main

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3/vfs"
)

// A faultyDisk is a file system on which SQLite's log of changes does what a test says. SQLite writes
// a transaction to the log when it commits, or before if it is large.
type faultyDisk struct {
	vfs.VFSFilename
	onWrite, onSync atomic.Pointer[func() error] // nil: all is well
}

// once returns a fault that happens once.
func once(err error) *func() error {
	var happened atomic.Bool
	return new(func() error {
		if happened.Swap(true) {
			return nil
		}
		return err
	})
}

func always(err error) *func() error { return new(func() error { return err }) }

func (d *faultyDisk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	file, flags, err := d.VFSFilename.OpenFilename(name, flags)
	if err == nil && flags&vfs.OPEN_WAL != 0 {
		file = faultyLog{file, d}
	}
	return file, flags, err
}

// A faultyLog is the log of changes on a faultyDisk.
type faultyLog struct {
	vfs.File
	disk *faultyDisk
}

func (l faultyLog) WriteAt(b []byte, offset int64) (int, error) {
	if fault := l.disk.onWrite.Load(); fault != nil {
		if err := (*fault)(); err != nil {
			return 0, err
		}
	}
	return l.File.WriteAt(b, offset)
}

func (l faultyLog) Sync(flags vfs.SyncFlag) error {
	if fault := l.disk.onSync.Load(); fault != nil {
		if err := (*fault)(); err != nil {
			return err
		}
	}
	return l.File.Sync(flags)
}

// openFaulty opens a store whose writer is on a faultyDisk, and says which file it is in.
func openFaulty(t testing.TB) (s sqlStore, c *sqliteConnections, disk *faultyDisk, url string) {
	t.Helper()
	url = newSQLite(t)
	mustOpen(t, url) // makes the tables
	path := strings.TrimPrefix(url, sqlitePrefix)
	disk = &faultyDisk{VFSFilename: vfs.Find("").(vfs.VFSFilename)}
	name := "faulty " + path
	vfs.Register(name, disk)
	t.Cleanup(func() { vfs.Unregister(name) })
	busy := busyTimeout(sqliteBusyTimeout)
	writerDSN := sqliteDSN(path, busy, "synchronous(full)", "foreign_keys(on)") + "&vfs=" + strings.ReplaceAll(name, " ", "%20")
	c = newSQLiteConnections(writerDSN, sqliteDSN(path, busy, "query_only(on)"), path, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if err := c.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return sqlStore{&database{connections: c}}, c, disk, url
}
