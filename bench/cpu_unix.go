//go:build unix

package main

import (
	"syscall"
	"time"
)

// cpuTime is what the process has used of the CPUs so far, in its own code and in the
// system on its behalf: all its threads, the garbage collector's too.
func cpuTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
