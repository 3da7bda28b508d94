//go:build unix

package main

import "syscall"

// keepFilesPrivate makes every file that this process creates its owner's only.
// SQLite's -wal file holds password hashes, and its driver creates that and the
// -shm file for everybody whom the umask lets in.
func keepFilesPrivate() { syscall.Umask(0o077) }
