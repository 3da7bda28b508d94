package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"

	"latchkey/internal/pgtest"
)

// measure runs the commands of a set, shows what they print, and returns what they measured.
func measure(s set) (run, error) {
	r := run{Began: time.Now().UTC().Truncate(time.Second), Commands: s.commands}
	var err error
	if r.Commit, err = commit(); err != nil {
		return run{}, err
	}
	var printed bytes.Buffer
	for _, line := range s.commands {
		words := strings.Fields(line)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = root, io.MultiWriter(os.Stdout, &printed), os.Stderr
		if err := cmd.Run(); err != nil {
			return run{}, fmt.Errorf("%s: %w", line, err)
		}
	}
	r.Versions = map[string]string{"go": strings.TrimPrefix(runtime.Version(), "go")}
	if version, err := pgtest.Version(); err == nil { // otherwise nothing was measured with it
		r.Versions["postgresql"] = version
	}
	return r, r.read(&printed)
}

// commit returns the commit that is measured. Changes in the documentation do not count.
func commit() (string, error) {
	head, err := gitSays("describe", "--tags", "--always")
	if err != nil {
		return "", err
	}
	changes, err := gitSays("status", "--porcelain", "--", ".", ":!docs")
	if changes != "" {
		head += "+changes"
	}
	return head, err
}

func gitSays(args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// processors is the number of processors, with which the name of a benchmark ends.
var processors = regexp.MustCompile(`-\d+$`)

// read reads what go test has printed: results, the machine, and versions in lines such as
// "pocketbase: v0.39.11".
func (r *run) read(printed io.Reader) error {
	config := make(map[string]string)
	reader := benchfmt.NewReader(printed, "go test")
	for reader.Scan() {
		measured, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		for _, c := range measured.Config {
			config[c.Key] = string(c.Value)
		}
		r.Results = append(r.Results, resultOf(measured))
	}
	r.Machine = thisMachine(config["cpu"])
	for _, key := range []string{"cpu", "goos", "goarch", "pkg"} {
		delete(config, key)
	}
	maps.Copy(r.Versions, config)
	return reader.Err()
}

func resultOf(measured *benchfmt.Result) result {
	res := result{
		Name:   processors.ReplaceAllString(measured.Name.String(), ""),
		Values: make(map[string]float64),
	}
	for _, v := range measured.Values {
		value, unit := v.Value, v.Unit
		if v.OrigUnit != "" { // the package turns MB into B, for example
			value, unit = v.OrigValue, v.OrigUnit
		}
		if unit != "ns/op" || value != 0 { // benchmarks report 0 if their time means nothing
			res.Values[unit] = value
		}
	}
	return res
}
