//go:build unix

package main

import "syscall"

// keepFilesPrivate lets only the owner open the files that this process creates. SQLite's -wal
// file holds password hashes, and the driver creates it with whatever mode the umask allows.
func keepFilesPrivate() { syscall.Umask(0o077) }
