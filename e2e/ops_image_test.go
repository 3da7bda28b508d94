package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A builder runs Buildah with a store of its own.
type builder []string

func newBuilder(t *testing.T) builder {
	t.Helper()
	needTools(t, "buildah", "busybox", "unshare")
	if os.Geteuid() != 0 {
		skip(t, "only root can build an image without a service")
	}
	dir := t.TempDir()
	return builder{"buildah", "--root=" + filepath.Join(dir, "root"), "--runroot=" + filepath.Join(dir, "run"), "--storage-driver=vfs"}
}

// run returns what a command of Buildah prints.
func (b builder) run(t *testing.T, words ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), b[0], slices.Concat(b[1:], words)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("buildah %s: %v\n%s%s", words[0], err, out, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// makeBase makes an image with the name of Go's, which cannot be had without a registry: a shell
// and certificates. build lends it this machine's Go.
func (b builder) makeBase(t *testing.T) {
	t.Helper()
	container := b.run(t, "from", "scratch")
	root := b.run(t, "mount", container)
	script := `cd "$1"; mkdir -p bin tmp usr/local/go etc/ssl/certs; cp "$(command -v busybox)" bin/busybox
		ln -s busybox bin/sh; ln -s busybox bin/mkdir; cp -L /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/`
	if out, err := exec.CommandContext(t.Context(), "sh", "-ec", script, "sh", root).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b.run(t, "config", "--env=PATH=/usr/local/go/bin:/bin", "--env=GOTOOLCHAIN=local", "--env=HOME=/tmp", container)
	b.run(t, "commit", "--quiet", "--rm", container, "docker.io/library/golang:1.26")
}

// build builds the image from the Containerfile, and returns the folder with its files.
func (b builder) build(t *testing.T) string {
	t.Helper()
	lend := func(variable, path string) string {
		out, err := exec.CommandContext(t.Context(), "go", "env", variable).Output()
		if err != nil {
			t.Fatal(err)
		}
		return "--volume=" + strings.TrimSpace(string(out)) + ":" + path
	}
	b.run(t, "bud", "--isolation=chroot", "--pull-never", "--format=docker", "--tag=latchkey", "--build-arg=VERSION=v1.2.3",
		lend("GOROOT", "/usr/local/go:ro"), lend("GOMODCACHE", "/tmp/go/pkg/mod"), lend("GOCACHE", "/tmp/.cache/go-build"), "..")
	return b.run(t, "mount", b.run(t, "from", "--pull-never", "latchkey"))
}

// An imageConfig is what an image says about its containers.
type imageConfig struct {
	User, StopSignal string
	Env, Entrypoint  []string
	ExposedPorts     map[string]struct{}
	Volumes          map[string]struct{}
	Healthcheck      struct{ Test []string }
}

func (b builder) config(t *testing.T) imageConfig {
	t.Helper()
	var image struct{ Docker struct{ Config imageConfig } }
	if err := json.Unmarshal([]byte(b.run(t, "inspect", "--type=image", "latchkey")), &image); err != nil {
		t.Fatal(err)
	}
	return image.Docker.Config
}

// TestImage builds the Containerfile, and runs what comes of it without rights, on files that
// cannot be written but for /data.
func TestImage(t *testing.T) {
	long(t)
	t.Parallel()
	b := newBuilder(t)
	b.makeBase(t)
	root := b.build(t)
	checkImageFiles(t, root)
	config := b.config(t)
	checkImageConfig(t, config)

	s := startAs(t, invocation{
		under: []string{"unshare", "--mount", "--propagation=private", "sh", "-ec", inImage, root},
		env:   slices.Concat(config.Env, []string{"ADDR=127.0.0.1:0", "DATABASE_URL=sqlite:/data/users.db", "SECRET_KEY=" + aKey}),
	})
	s.register(t, "alice")
	checkMe(t, s.me(t, s.logIn(t, "alice")), "alice")
	if version := s.log.events("listening")[0]["version"]; version != "v1.2.3" {
		t.Errorf("the version is %v; want the argument of the build", version)
	}
	health := exec.CommandContext(t.Context(), "chroot", append([]string{"--userspec=65532:65532", "--groups=", root}, config.Healthcheck.Test[1:]...)...)
	health.Env = []string{"ADDR=" + s.addr}
	if out, err := health.CombinedOutput(); err != nil {
		t.Errorf("the health check: %v\n%s", err, out)
	}
}

// inImage runs the image whose root is $0. It ignores the program in $1.
const inImage = `
mount --bind "$0" "$0"
mount -t tmpfs -o uid=65532,gid=65532,mode=0700 tmpfs "$0/data"
mount -o remount,bind,ro "$0"
exec chroot --userspec=65532:65532 --groups= "$0" /latchkey
`

func checkImageFiles(t *testing.T, root string) {
	t.Helper()
	var size int64
	var files []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += info.Size()
		files = append(files, strings.TrimPrefix(path, root))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/etc/ssl/certs/ca-certificates.crt", "/latchkey"}; !slices.Equal(files, want) {
		t.Errorf("the image has the files %q; want %q", files, want)
	}
	if size > 25_000_000 {
		t.Errorf("the image has %d bytes; want at most 25 MB", size)
	}
	t.Logf("%d bytes", size)
}

func checkImageConfig(t *testing.T, c imageConfig) {
	t.Helper()
	if c.User != "65532:65532" || c.StopSignal != "SIGTERM" || !slices.Equal(c.Entrypoint, []string{"/latchkey"}) {
		t.Errorf("got %+v; want user 65532:65532, SIGTERM and /latchkey", c)
	}
	_, port := c.ExposedPorts["8000/tcp"]
	_, data := c.Volumes["/data"]
	if !port || !data || !slices.Contains(c.Env, "ADDR=:8000") {
		t.Errorf("got %+v; want port 8000 and a volume /data", c)
	}
	if !slices.Equal(c.Healthcheck.Test, []string{"CMD", "/latchkey", "ready"}) {
		t.Errorf("the health check is %q", c.Healthcheck.Test)
	}
}

// TestManifests checks deploy/compose.yaml and deploy/kubernetes.yaml; see manifests/.
func TestManifests(t *testing.T) {
	long(t)
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", ".") // the cache does not know files above the module
	cmd.Dir = "manifests"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
