package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// cpu is what this program and the nodes have used of the CPUs so far.
func (b *bench) cpu() time.Duration {
	total := cpuOf(os.Getpid())
	for i := range b.nodes.Len() {
		total += cpuOf(b.nodes.PID(i))
	}
	return total
}

// cpuOf is what a process has used, in its own code and in the system on its behalf:
// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html. Linux has a hundred ticks a
// second on everything that Go runs on.
func cpuOf(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ") // behind the name
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
