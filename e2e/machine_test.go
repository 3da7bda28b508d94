package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A machine is a container in which systemd is process 1. It has the files of this machine, and
// what it writes goes to memory. It shares the network.
type machine struct{ pid string } // of its systemd

// boot puts an overlay on the file system, the program and the units of deploy/ into it, and
// boots it. $1 is an empty folder, $2 the program, $3 the folder deploy/.
const boot = `
cd "$1"
mkdir memory root
mount -t tmpfs tmpfs memory
mkdir memory/upper memory/work
mount -t overlay overlay -o lowerdir=/,upperdir=memory/upper,workdir=memory/work root
: >root/etc/machine-id
install -m 0755 "$2" root/usr/local/bin/latchkey
install -m 0644 "$3"/latchkey.service "$3"/latchkey.socket root/etc/systemd/system/
install -d -m 0700 root/etc/latchkey
exec systemd-nspawn --quiet --directory=root --machine="latchkey-$$" --register=no --keep-unit \
	--console=pipe --boot systemd.unit=basic.target
`

// startMachine boots a machine, which runs until the test ends.
func startMachine(t *testing.T) *machine {
	t.Helper()
	needTools(t, "systemd-nspawn", "unshare", "nsenter")
	if os.Geteuid() != 0 {
		skip(t, "only root can boot a container")
	}
	units, err := filepath.Abs("../deploy")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--mount", "--propagation=private", "sh", "-ec", boot, "sh", t.TempDir(), fastProgram, units)
	runTool(t, cmd)
	t.Cleanup(func() { // the container outlives systemd-nspawn
		for _, child := range childrenOf(cmd.Process.Pid) {
			exec.Command("kill", "-KILL", child).Run()
		}
	})
	m := new(machine)
	waitFor(t, "systemd to start", func() bool {
		for _, child := range childrenOf(cmd.Process.Pid) {
			if name, _ := os.ReadFile("/proc/" + child + "/comm"); string(name) == "systemd\n" {
				m.pid = child
			}
		}
		return m.pid != ""
	})
	waitFor(t, "the machine to boot", func() bool {
		state, _ := m.run("systemctl is-system-running")
		return state == "running" || state == "degraded" // by a unit of somebody else
	})
	return m
}

// childrenOf returns the ids of the processes that a process has started.
func childrenOf(pid int) []string {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid)) // none if it has ended
	return strings.Fields(string(children))
}

// run runs lines of shell as root, and returns what they print.
func (m *machine) run(lines string) (string, error) {
	cmd := exec.Command("nsenter", "--target="+m.pid, "--all", "sh", "-ec", lines)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_PAGER=cat"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// do is run for lines that have to succeed.
func (m *machine) do(t *testing.T, lines string) string {
	t.Helper()
	out, err := m.run(lines)
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", lines, err, out, m.journal())
	}
	return out
}

// journal returns the last lines of systemd and of the program about the unit.
func (m *machine) journal() string {
	out, _ := m.run("journalctl --unit=latchkey --output=cat --lines=15 --no-pager")
	return out
}

// show returns a property of the unit.
func (m *machine) show(t *testing.T, property string) string {
	t.Helper()
	return m.do(t, "systemctl show --value --property="+property+" latchkey.service")
}

// configure replaces settings of the unit, lines of the section [Service].
func (m *machine) configure(t *testing.T, lines string) {
	t.Helper()
	m.do(t, `mkdir -p /run/systemd/system/latchkey.service.d
		cat >/run/systemd/system/latchkey.service.d/test.conf <<'END'
[Service]
`+lines+`
END
		systemctl daemon-reload`)
}

// server returns the server at an address of the machine.
func (m *machine) server(addr string) *server {
	return &server{addr: addr, url: "http://" + addr, client: &http.Client{Timeout: patience}, log: new(record)}
}
