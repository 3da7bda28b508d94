// Command figures measures Latchkey, keeps the results as data in docs/benchmarks/, and draws them.
//
//	figures measure SET…   runs sets of benchmarks; see sets.go. Then it draws
//	figures draw           draws what was measured last, without measuring
//
// It runs in the folder e2e/. The same data always make the same bytes.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// root is the folder of the repository, and pages the one of the documentation.
const (
	root  = ".."
	pages = root + "/docs"
)

func main() {
	if err := figures(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("want measure SET…, or draw")

func figures(args []string) error {
	switch {
	case len(args) >= 2 && args[0] == "measure":
		if err := measureSets(args[1:]); err != nil {
			return err
		}
	case !slices.Equal(args, []string{"draw"}):
		return errUsage
	}
	return drawAll(pages)
}

func measureSets(names []string) error {
	for _, name := range names {
		s, err := setOf(name)
		if err != nil {
			return err
		}
		measured, err := measure(s)
		if err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
		if err := measured.write(dataFile(pages, name)); err != nil {
			return err
		}
	}
	return nil
}

// drawAll draws the pictures of what was measured into a folder of pages, and writes the tables of
// benchmarks.md there.
func drawAll(dir string) error {
	all, err := readRuns(dir)
	if err != nil {
		return err
	}
	parts := make(map[string]string)
	for _, p := range pictures {
		measured, ok := all[p.set]
		if !ok {
			continue
		}
		svg, part, err := p.render(measured)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", dataFile(dir, p.set), p.name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "benchmarks", p.name+".svg"), svg, 0o644); err != nil {
			return err
		}
		parts[p.name] = part
	}
	return rewriteFile(filepath.Join(dir, "benchmarks.md"), parts)
}
