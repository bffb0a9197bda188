package main

import (
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// withSmallDisk makes the test binary repogen itself, where no file may grow.
// It is a process of its own, since the test's writes files too.
const withSmallDisk = "SQLANE_TEST_SMALL_DISK"

func TestMain(m *testing.M) {
	if os.Getenv(withSmallDisk) != "" {
		os.Exit(onSmallDisk())
	}
	goleak.VerifyTestMain(m)
}

// onSmallDisk lifts the limit in the end, since what measures coverage writes
// files too.
func onSmallDisk() (code int) {
	signal.Ignore(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		panic(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100, Max: was.Max}); err != nil {
		panic(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			panic(err)
		}
	}()
	return run(os.Args[1:], os.Stdout, os.Stderr)
}
