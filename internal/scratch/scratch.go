// Package scratch says where tests keep the files that they throw away.
package scratch

import (
	"flag"
	"os"
	"testing"
)

// InMemory has tests that are to be short keep their files in memory, where the system
// has room for them and TMPDIR names no other place: to create and remove small files,
// thousands of them, takes a disk's file system a third of their time. Without -short
// they are on the disk. It is for TestMain, before the tests run.
func InMemory() {
	flag.Parse()
	if dir := memory(); testing.Short() && dir != "" && os.Getenv("TMPDIR") == "" {
		if err := os.Setenv("TMPDIR", dir); err != nil {
			panic(err)
		}
	}
}
