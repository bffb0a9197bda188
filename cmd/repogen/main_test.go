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
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100, Max: 100}); err != nil {
			panic(err)
		}
		main()
	}
	goleak.VerifyTestMain(m)
}
