package pooltest_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pooltest"
)

func TestMain(m *testing.M) {
	rounds.Together(8)
	goleak.VerifyTestMain(m)
}

// double stands in for a test that may fail. What it is told is kept.
type double struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
	failures []string
	output   strings.Builder
}

func (d *double) Name() string             { return fmt.Sprintf("%s#%p", d.TB.Name(), d) } // several run at the same time
func (d *double) Context() context.Context { return d.ctx }
func (d *double) Helper()                  {}
func (d *double) Cleanup(f func())         { d.cleanups = append(d.cleanups, f) }
func (d *double) Output() io.Writer        { return &d.output }
func (d *double) Failed() bool             { return len(d.failures) > 0 }
func (d *double) said() string             { return strings.Join(d.failures, "\n") }
func (d *double) Error(args ...any)        { d.failures = append(d.failures, fmt.Sprint(args...)) }
func (d *double) Fatal(args ...any)        { d.Error(args...); runtime.Goexit() }
func (d *double) Errorf(format string, args ...any) {
	d.failures = append(d.failures, fmt.Sprintf(format, args...))
}

func (d *double) Fatalf(format string, args ...any) {
	d.Errorf(format, args...)
	runtime.Goexit()
}

// run runs a test on a double, to its end, and returns how it failed; "" if not. As
// testing does it, cleanups run on the test's goroutine, wherever that has failed.
func run(t *testing.T, test func(t testing.TB)) (failures string) {
	t.Helper()
	d := &double{TB: t, ctx: t.Context()}
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer func() {
			for _, cleanup := range slices.Backward(d.cleanups) {
				cleanup()
			}
		}()
		test(d)
	}()
	<-over
	return d.said()
}

// notes are migrations that tests use.
var notes = fstest.MapFS{
	"00001_notes.sql": {Data: []byte("-- +goose Up\nCREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, parent INTEGER REFERENCES notes (id)) STRICT;\n-- +goose Down\nDROP TABLE notes;\n")},
	"00002_first.sql": {Data: []byte("-- +goose Up\nINSERT INTO notes (text) VALUES ('first');\n")},
}

// everywhere runs a test on notes in memory and in a file.
func everywhere(t *testing.T, test func(t *testing.T, opts ...pooltest.Option)) {
	t.Run("memory", func(t *testing.T) { test(t, pooltest.Migrations(notes)) })
	t.Run("file", func(t *testing.T) { test(t, pooltest.Migrations(notes), pooltest.File()) })
}

// passes requires a test to pass on a double.
func passes(t *testing.T, test func(t testing.TB)) {
	t.Helper()
	require.Empty(t, run(t, test))
}

// inAFunction runs a test where there is none, and prints how it fails.
func inAFunction(test func(t testing.TB)) {
	d := &double{TB: new(testing.T), ctx: context.Background()}
	defer func() {
		for _, cleanup := range slices.Backward(d.cleanups) {
			cleanup()
		}
		if says := d.said(); says != "" {
			fmt.Println(says)
		}
	}()
	test(d)
}
