package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// A machine is where something was measured.
type machine struct {
	CPU       string `json:"cpu"`
	Cores     int    `json:"cores"`
	MemoryGiB int    `json:"memory_gib,omitempty"`
	System    string `json:"system"`
}

// thisMachine returns the machine that this program runs on. go test knows its CPU.
func thisMachine(cpu string) machine {
	m := machine{CPU: cpu, Cores: runtime.NumCPU(), System: runtime.GOOS}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		version, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-")
		m.System = "Linux " + version
	}
	meminfo, _ := os.ReadFile("/proc/meminfo") // only Linux has it
	if found := regexp.MustCompile(`MemTotal:\s*(\d+) kB`).FindSubmatch(meminfo); found != nil {
		kb, _ := strconv.Atoi(string(found[1])) // which is digits
		m.MemoryGiB = (kb + 1<<19) / (1 << 20)
	}
	return m
}

func (m machine) String() string {
	text := fmt.Sprintf("%d cores of %s", m.Cores, m.CPU)
	if m.MemoryGiB > 0 {
		text += fmt.Sprintf(", %d GiB", m.MemoryGiB)
	}
	return text + ", " + m.System
}
