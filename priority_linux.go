package main

import "syscall"

// hashNiceness is how much the threads that hash give way to others, of 19 at most.
const hashNiceness = 10

// lowerPriority makes the system prefer other threads to this one. On Linux, priorities
// are those of threads, whatever POSIX says (setpriority(2), "C library/kernel
// differences"). If it fails, requests are answered a few milliseconds later.
func lowerPriority() { _ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, hashNiceness) }
