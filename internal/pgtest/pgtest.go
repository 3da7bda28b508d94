// Package pgtest runs PostgreSQL servers of a test's own, in temporary folders
// and on ports of 127.0.0.1.
package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNotInstalled means that this machine has no PostgreSQL server.
var ErrNotInstalled = errors.New("no PostgreSQL here: found no initdb (Debian: apt-get install postgresql)")

// patience is how long a server may take to start or to stop.
const patience = 60 * time.Second

// A Cluster is a PostgreSQL server with its files. The superuser is latchkey,
// without a password.
type Cluster struct {
	Port int

	dir    string
	bin    string              // where initdb and its like are
	as     *syscall.Credential // nil: whoever runs the test
	server *exec.Cmd           // nil: it is stopped
	exited chan struct{}
}

// Start makes a cluster and starts its server, with settings such as
// "max_connections=20".
func Start(settings ...string) (*Cluster, error) {
	return start(settings, func(c *Cluster) error {
		return c.make("initdb", "-U", "latchkey", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
	})
}

// Standby makes a copy of c and starts it: it follows c and takes no writes, until
// it is told to by SELECT pg_promote().
func (c *Cluster) Standby() (*Cluster, error) {
	return start(nil, func(standby *Cluster) error {
		return standby.make("pg_basebackup", "-R", "-c", "fast", "-N",
			"-d", fmt.Sprintf("host=127.0.0.1 port=%d user=latchkey", c.Port))
	})
}

// start starts a server on the files that create makes.
func start(settings []string, create func(*Cluster) error) (*Cluster, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "latchkey-postgres-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, bin: bin}
	for _, step := range []func() error{
		c.own,
		func() error { return create(c) },
		func() error { return c.configure(settings) },
		c.Run,
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	return c, nil
}

// find returns the folder of initdb: Debian does not put it into the PATH.
func find() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return resolved(path), nil
	}
	paths, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(paths) == 0 {
		return "", ErrNotInstalled
	}
	return filepath.Dir(paths[len(paths)-1]), nil
}

// Version returns the version of the servers that Start starts, such as "15.14".
func Version() (string, error) {
	bin, err := find()
	if err != nil {
		return "", err
	}
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	words := strings.Fields(string(out)) // postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
	if err != nil || len(words) < 3 {
		return "", fmt.Errorf("postgres --version printed %q: %w", out, err)
	}
	return words[2], nil
}

// resolved returns the folder of a program, where its neighbours are.
func resolved(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	return filepath.Dir(path)
}

// own gives the folder to a user whom PostgreSQL accepts: it refuses to be root.
func (c *Cluster) own() error {
	if os.Geteuid() != 0 {
		return nil
	}
	postgres, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err1 := strconv.Atoi(postgres.Uid)
	gid, err2 := strconv.Atoi(postgres.Gid)
	c.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return errors.Join(err1, err2, os.Chown(c.dir, uid, gid))
}

// make makes the files with one of PostgreSQL's programs.
func (c *Cluster) make(name string, args ...string) error {
	if out, err := c.command(name, append(args, "-D", c.data())...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// configure gives the server a port and settings.
func (c *Cluster) configure(settings []string) error {
	var err error
	if c.Port, err = freePort(); err != nil {
		return err
	}
	conf, err := os.OpenFile(filepath.Join(c.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer conf.Close()
	fmt.Fprintf(conf, "listen_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = ''\n", c.Port)
	for _, line := range settings {
		fmt.Fprintln(conf, line)
	}
	return nil
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as, Setpgid: true}
	return cmd
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// Run starts the server, which is stopped, and returns when it takes connections. It tries
// again while remains of a server that was killed are in its way.
func (c *Cluster) Run() error {
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = c.runOnce(deadline); err == nil {
			return nil
		}
	}
	return err
}

func (c *Cluster) runOnce(deadline time.Time) error {
	var output bytes.Buffer
	server := c.command("postgres", "-D", c.data())
	server.Stdout, server.Stderr = &output, &output
	if err := server.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		server.Wait() // its error is in what it printed
		close(exited)
	}()
	for time.Now().Before(deadline) {
		if c.command("pg_isready", "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(c.Port)).Run() == nil {
			c.server, c.exited = server, exited
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("postgres has ended: %s", &output)
		case <-time.After(10 * time.Millisecond):
		}
	}
	server.Process.Kill()
	<-exited
	return fmt.Errorf("postgres did not answer within %v: %s", patience, &output)
}

// Stop ends the server as an administrator does: open connections are closed, and
// what was committed is kept.
func (c *Cluster) Stop() error {
	return c.end(func() error { return c.server.Process.Signal(syscall.SIGINT) })
}

// Kill ends the server and its children at once, whatever they are doing.
func (c *Cluster) Kill() error {
	return c.end(func() error {
		// The children are in process groups of their own. Without /proc they end by
		// themselves when they see that their parent is gone.
		pid := c.server.Process.Pid
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		err := c.server.Process.Kill()
		for field := range strings.FieldsSeq(string(children)) {
			if child, err := strconv.Atoi(field); err == nil {
				syscall.Kill(child, syscall.SIGKILL) // it may have ended by now
			}
		}
		return err
	})
}

func (c *Cluster) end(how func() error) error {
	if c.server == nil {
		return nil
	}
	if err := how(); err != nil {
		return err
	}
	c.server = nil
	select {
	case <-c.exited:
		return nil
	case <-time.After(patience):
		return errors.New("postgres does not end")
	}
}

// Close ends the server and removes its files.
func (c *Cluster) Close() error {
	return errors.Join(c.Kill(), os.RemoveAll(c.dir))
}

// URL returns the URL of a database, with more parameters, such as
// "pool_max_conns=2".
func (c *Cluster) URL(database string, parameters ...string) string {
	parameters = append([]string{"sslmode=disable"}, parameters...)
	return fmt.Sprintf("postgres://latchkey@127.0.0.1:%d/%s?%s", c.Port, database, strings.Join(parameters, "&"))
}
