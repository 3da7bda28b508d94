package main

import "syscall"

// hashNiceness is how much the threads that hash give way to others: enough for requests
// to be quick beside a flood of logins, and not so much that a flood of requests would
// keep logins from being computed.
const hashNiceness = 5

// lowerPriority makes the system prefer other threads to this one. On Linux, priorities
// are those of threads, whatever POSIX says (setpriority(2), "C library/kernel
// differences"). If it fails, requests are answered a few milliseconds later.
func lowerPriority() {
	priority, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err == nil {
		nice := 20 - priority // as the system call has it
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, min(nice+hashNiceness, 19))
	}
}
