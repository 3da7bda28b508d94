package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

// A set is benchmarks that run together. Each has a file of data.
type set struct {
	name     string
	commands []string // run in the root folder
}

// pictured are the benchmarks of the set pictures.
const pictured = "^Benchmark(ReadUsersMe|Refresh|Flood|Growth)"

var sets = []set{
	{"pictures", []string{ // each takes less than three minutes
		bench("^Benchmark(ReadUsersMe|Flood)$"),
		bench("^BenchmarkReadUsersMeSQLite$"),
		bench("^BenchmarkReadUsersMePostgres$"),
		bench("^BenchmarkRefresh"),
		bench("^BenchmarkGrowth$"),
	}},
	{"others", []string{
		"go test -run ^$ -benchtime 1x -bench FailedLoginOfEach .",
		"go test -run ^$ -bench MemStore|Throttle .",
		bench(". -skip " + pictured),
	}},
	{"peers", []string{
		"go -C e2e/peers test -run ^$ -bench . -benchtime 1x -v -timeout 30m .",
	}},
}

// bench returns the command that runs these benchmarks of the built program.
func bench(these string) string {
	return "go -C e2e test -run ^$ -bench " + these + " -benchtime 1x -v -timeout 90m ."
}

// setOf returns the set with a name.
func setOf(name string) (set, error) {
	var names []string
	for _, s := range sets {
		if s.name == name {
			return s, nil
		}
		names = append(names, s.name)
	}
	return set{}, fmt.Errorf("no set is named %q; want one of %s", name, strings.Join(names, ", "))
}

// dataFile returns where the results of a set are kept in a folder of pages.
func dataFile(dir, set string) string { return filepath.Join(dir, "benchmarks", set+".json") }
