package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
)

// machine is where a run took place. What the system does not tell is "unknown".
type machine struct {
	Date       string            `json:"date"`
	OS         string            `json:"os"`
	CPU        string            `json:"cpu"`
	CPUs       int               `json:"cpus"`
	GOMAXPROCS int               `json:"gomaxprocs"`
	GOGC       string            `json:"gogc"`
	Memory     string            `json:"memory"`
	FileSystem string            `json:"file_system"`
	Load       string            `json:"load_before"` // a busy machine measures itself
	Go         string            `json:"go"`
	Versions   map[string]string `json:"versions"`
}

func thisMachine(dir string, all []peers.Peer) machine {
	m := machine{
		Date: time.Now().UTC().Format("2006-01-02 15:04 UTC"),
		OS:   runtime.GOOS + "/" + runtime.GOARCH + " " + firstLine("/proc/sys/kernel/osrelease"),
		CPU:  field("/proc/cpuinfo", "model name"), CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0),
		GOGC: "100", Memory: size(field("/proc/meminfo", "MemTotal")), FileSystem: fileSystem(dir),
		Load: firstLine("/proc/loadavg"), Go: runtime.Version(), Versions: map[string]string{},
	}
	if gogc := os.Getenv("GOGC"); gogc != "" {
		m.GOGC = gogc
	}
	modules := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			modules[dep.Path] = dep.Version
		}
	}
	for _, p := range all {
		if m.Versions[p.Module] = modules[p.Module]; p.Name == "sqlane" {
			m.Versions[p.Module] = "this repository"
		}
	}
	return m
}

// size is so many kB in GB.
func size(kb string) string {
	var n float64
	if _, err := fmt.Sscanf(kb, "%g kB", &n); err != nil {
		return kb
	}
	return fmt.Sprintf("%.0f GB", n*1024/1e9)
}

// load is the average of the last minute; 0 if the system does not tell.
func (m machine) load() float64 {
	text, _, _ := strings.Cut(m.Load, " ")
	load, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return load
}

func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

// field reads the first "name : value" of a file.
func field(path, name string) string {
	text, err := os.ReadFile(path)
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
				return strings.TrimSpace(value)
			}
		}
	}
	return "unknown"
}

// fileSystem is the type of the mount that a directory lies on.
func fileSystem(dir string) string {
	f, err := os.Open("/proc/mounts")
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "unknown"
	}
	kind, longest := "unknown", -1
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var device, at, fs string
		if _, err := fmt.Sscan(lines.Text(), &device, &at, &fs); err != nil {
			continue
		}
		if (at == "/" || dir == at || strings.HasPrefix(dir, at+"/")) && len(at) >= longest {
			kind, longest = fs, len(at)
		}
	}
	return kind
}
