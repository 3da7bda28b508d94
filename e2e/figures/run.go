package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// A run is what the benchmarks of a set reported, and on which machine.
type run struct {
	Began    time.Time         `json:"began"`
	Commit   string            `json:"commit"` // ends in "+changes" if the code is not what was committed
	Machine  machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Commands []string          `json:"commands"`
	Results  []result          `json:"results"`
}

// A result is what one benchmark reported. Its name is without "Benchmark". The value of a unit that
// ends in -25% or -75% is where the middle half begins or ends.
type result struct {
	Name   string             `json:"name"`
	Values map[string]float64 `json:"values"`
}

func (r run) write(path string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// readRuns reads the last run of each set, by name. A set that never ran has none.
func readRuns(dir string) (map[string]run, error) {
	all := make(map[string]run)
	for _, s := range sets {
		text, err := os.ReadFile(dataFile(dir, s.name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var r run
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", dataFile(dir, s.name), err)
		}
		all[s.name] = r
	}
	return all, nil
}

// A reader reads values of a run. If one is missing, err names it, and this and all later values are 1.
type reader struct {
	run
	err error
}

// errNotMeasured means that the data have no such result.
var errNotMeasured = errors.New("not measured")

// value returns what a benchmark reported in a unit.
func (r *reader) value(name, unit string) float64 {
	if r.err != nil {
		return 1
	}
	for _, res := range r.Results {
		if v, ok := res.Values[unit]; ok && res.Name == name {
			return v
		}
	}
	r.err = fmt.Errorf("%w: %s of %s", errNotMeasured, unit, name)
	return 1
}
