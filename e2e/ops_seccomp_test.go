package e2e

import (
	"runtime"
	"testing"
)

// withoutResources becomes the program that its arguments name, which the kernel ends at any
// system call of systemd's group @resources, by its number on amd64: ioprio_set, mbind,
// migrate_pages, move_pages, sched_setaffinity, sched_setattr, sched_setparam,
// sched_setscheduler, set_mempolicy, set_mempolicy_home_node, setpriority, setrlimit.
const withoutResources = `
import ctypes, os, struct, sys
forbidden = 251, 237, 256, 279, 203, 314, 142, 144, 238, 450, 141, 160
program = struct.pack("HBBI", 0x20, 0, 0, 0)  # load the number
for number in forbidden:
    program += struct.pack("HBBI", 0x15, 0, 1, number)  # if it is this one
    program += struct.pack("HBBI", 0x06, 0, 0, 0x80000000)  # end the process
program += struct.pack("HBBI", 0x06, 0, 0, 0x7fff0000)  # allow
text = ctypes.create_string_buffer(program)
header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(text)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, header, 0, 0):  # no new privileges; a filter
    sys.exit("no filter: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
`

// TestSystemCallFilter: the server works under SystemCallFilter=@system-service and
// ~@resources, which systemd recommends.
func TestSystemCallFilter(t *testing.T) {
	long(t)
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		skip(t, "the filter is for Linux on amd64")
	}
	needTools(t, "python3")
	s := startAs(t, invocation{under: []string{"python3", "-c", withoutResources}})
	s.register(t, "alice")
	s.signIn(t, "alice")
	checkWrong(t, s.guess(t, "alice", home))
}
