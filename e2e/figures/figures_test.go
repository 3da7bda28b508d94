package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// docs is pages, seen from the folder of this test.
const docs = "../" + pages

// TestPagesAreCurrent: the pictures and the tables are what the data make, to the byte.
func TestPagesAreCurrent(t *testing.T) {
	drawn := t.TempDir()
	if err := os.CopyFS(drawn, os.DirFS(docs)); err != nil {
		t.Fatal(err)
	}
	if err := drawAll(drawn); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(pictureFiles(t, drawn), "benchmarks.md") {
		want, err := os.ReadFile(filepath.Join(drawn, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(docs, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/%s is not what the data make (%v); want make pictures-again", name, err)
		}
	}
}

// TestPictures: each is small XML that says what it shows, and stands in the page.
func TestPictures(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(docs, "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pictureFiles(t, docs) {
		text, err := os.ReadFile(filepath.Join(docs, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 60_000 {
			t.Errorf("%s has %d bytes; want at most 60,000", name, len(text))
		}
		if !bytes.Contains(text, []byte(`<svg role="img" aria-label="`)) {
			t.Errorf("%s does not say what it is", name)
		}
		if err := parseXML(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !regexp.MustCompile(`!\[[^\]]{40,}\]\(` + regexp.QuoteMeta(name) + `\)`).Match(page) {
			t.Errorf("benchmarks.md does not show %s with a text that says what it shows", name)
		}
	}
}

// pictureFiles returns the pictures in a folder of pages.
func pictureFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "benchmarks", "*.svg"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d pictures, %v", len(files), err)
	}
	for _, file := range files {
		names = append(names, filepath.Join("benchmarks", filepath.Base(file)))
	}
	return names
}

func parseXML(text []byte) error {
	dec := xml.NewDecoder(bytes.NewReader(text))
	for {
		switch _, err := dec.Token(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// TestMissingResult: a picture without one of its results is refused, and the error names it.
func TestMissingResult(t *testing.T) {
	all, err := readRuns(docs)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pictures {
		t.Run(p.name, func(t *testing.T) {
			measured := all[p.set]
			if len(measured.Results) == 0 {
				t.Skipf("nobody has measured %s yet", p.set)
			}
			needed := 0
			for i, res := range measured.Results {
				less := measured
				less.Results = slices.Delete(slices.Clone(measured.Results), i, i+1)
				_, _, err := p.render(less)
				if err == nil {
					continue
				}
				needed++
				if !errors.Is(err, errNotMeasured) || !strings.Contains(err.Error(), res.Name) {
					t.Errorf("%v; want an error that names %s", err, res.Name)
				}
			}
			if needed == 0 {
				t.Error("the picture needs none of the results")
			}
		})
	}
}

// TestReadResults reads results, the machine and versions from what go test prints.
func TestReadResults(t *testing.T) {
	const printed = `goos: linux
goarch: amd64
pkg: latchkey/e2e
cpu: Example 9000
BenchmarkReadUsersMe
BenchmarkReadUsersMe/connections=16
BenchmarkReadUsersMe/connections=16-2         	       1	        26.50 MB-after-load	         0.8200 of-bare	         0.7700 of-bare-25%	     46000 requests/s
    a_test.go:12: a remark
pocketbase: v0.39.11
BenchmarkThrottle-2      	 1000000	       105 ns/op
BenchmarkStart-2         	       1	         0 ns/op	        12.00 ms-to-first-answer
PASS
ok  	latchkey/e2e	12.3s
`
	r := run{Versions: map[string]string{"go": "1.26.8"}}
	if err := r.read(strings.NewReader(printed)); err != nil {
		t.Fatal(err)
	}
	if r.Machine.CPU != "Example 9000" || r.Versions["pocketbase"] != "v0.39.11" || r.Versions["go"] != "1.26.8" || len(r.Versions) != 2 {
		t.Errorf("the machine is %+v, the versions are %v", r.Machine, r.Versions)
	}
	for _, tt := range []struct {
		name, unit string
		want       float64
	}{
		{"ReadUsersMe/connections=16", "requests/s", 46000},
		{"ReadUsersMe/connections=16", "of-bare-25%", 0.77},
		{"ReadUsersMe/connections=16", "MB-after-load", 26.5},
		{"Throttle", "ns/op", 105},
		{"Start", "ms-to-first-answer", 12},
	} {
		values := &reader{run: r}
		if got := values.value(tt.name, tt.unit); got != tt.want || values.err != nil {
			t.Errorf("%s of %s is %v, %v; want %v", tt.unit, tt.name, got, values.err, tt.want)
		}
	}
	if values := (&reader{run: r}); values.value("Start", "ns/op") != 1 || values.err == nil {
		t.Error("ns/op of a benchmark that reports 0 is a result")
	}
}

func TestRewrite(t *testing.T) {
	for _, tt := range []struct{ name, page, want string }{
		{"a part is replaced", "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n", "a\n<!-- x -->\nnew\n<!-- end of x -->\nb\n"},
		{"an empty part is filled", "<!-- x -->\n<!-- end of x -->\n", "<!-- x -->\nnew\n<!-- end of x -->\n"},
		{"a page without the part is refused", "a\n", ""},
		{"a part without an end is refused", "<!-- x -->\nold\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := rewrite(tt.page, "x", "new\n")
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestSetOf(t *testing.T) {
	if s, err := setOf("peers"); err != nil || s.name != "peers" {
		t.Errorf("%v, %v; want peers", s, err)
	}
	if _, err := setOf("nothing"); err == nil || !strings.Contains(err.Error(), "pictures, others, peers") {
		t.Errorf("%v; want an error that names the sets", err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"measure"}, {"draw", "it"}, {"paint"}} {
		if err := figures(args); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v; want %v", args, err, errUsage)
		}
	}
}

func TestThousands(t *testing.T) {
	for v, want := range map[float64]string{0.5: "0.5", 9: "9", 17.4: "17", 340: "340", 4512: "4,510", 46_234: "46,200", 1_000_000: "1,000,000"} {
		if got := thousands(v); got != want {
			t.Errorf("%v is written %s; want %s", v, got, want)
		}
	}
}

func TestUpTo(t *testing.T) {
	for most, want := range map[float64]string{1: "0 0.2 0.4 0.6 0.8 1", 4700: "0 1,000 2,000 3,000 4,000 5,000", 61_000: "0 20,000 40,000 60,000 80,000"} {
		var labels []string
		for _, tick := range upTo(most) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != want {
			t.Errorf("up to %v: %s; want %s", most, got, want)
		}
	}
}

func TestAround(t *testing.T) {
	got := around(plotter.XYs{{X: 0.13}, {X: 0.9}}, plotter.XYs{{X: 0.2}, {X: 10.5}})
	if want := []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 20}; !slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
		t.Errorf("around 0.13 to 10.5: %v; want %v", got, want)
	}
}

// TestApart: names that would be written over each other are moved apart, and stay in order.
func TestApart(t *testing.T) {
	for _, heights := range [][]vg.Length{{0, 1}, {5, 5, 5}, {0, 100}, {0, 2, 50, 51}} {
		got := apart(slices.Clone(heights), 10)
		for i := 1; i < len(got); i++ {
			if got[i]-got[i-1] < 9 {
				t.Errorf("%v became %v; want 10 between them", heights, got)
			}
		}
	}
}
