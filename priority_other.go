//go:build !linux

package main

// lowerPriority does nothing where a process has only one priority.
func lowerPriority() {}
