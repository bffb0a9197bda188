// Package rounds says how often a test does the same thing again, and how many tests
// run at a time.
package rounds

import (
	"flag"
	"os"
	"strconv"
	"testing"
)

// Long is the environment variable that asks for as many rounds as there are:
// make test-long and continuous integration set it to 1.
const Long = "SQLANE_LONG"

// Of chooses between go test -short, go test, and go test with SQLANE_LONG=1.
// What is tested is the same, and at least one round is done: give at least 1.
func Of(short, normal, long int) int {
	switch {
	case os.Getenv(Long) == "1":
		return long
	case testing.Short():
		return short
	}
	return normal
}

// Together has n tests run at a time of those that may, with few cores too: they wait
// more than they work. It is for TestMain, before flags are parsed: -parallel on the
// command line comes later and stands.
func Together(n int) {
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err)
	}
}
