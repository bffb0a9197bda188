package pooltest

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
)

// labelKey is the profiler's label of a test's goroutines. One that is started
// inherits it, so that those of tests that run at the same time can be told apart.
const labelKey = "pooltest"

func label(test string) {
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(labelKey, test)))
}

func unlabel() { pprof.SetGoroutineLabels(context.Background()) }

// inside returns the stacks of a test's goroutines that are inside a pool. A pool's
// own are not among them: its Close waits for them, and they may be those of another
// one, which is still open. Nor is the caller, which a failed test lets come here from
// wherever it was.
func inside(test string) (stacks []string) {
	var profile bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&profile, 1) // to memory, which takes all
	const pool, caller = "\tgithub.com/sqlane/sqlane/pool.", "\tgithub.com/sqlane/sqlane/pooltest.inside+"
	own := fmt.Sprintf("%q:%q", labelKey, test)
	for stack := range strings.SplitSeq(strings.TrimSpace(profile.String()), "\n\n") {
		_, labels, _ := strings.Cut(stack, "\n# labels: ")
		labels, _, _ = strings.Cut(labels, "\n")
		outermost := stack[strings.LastIndex(stack, "\n")+1:]
		if strings.Contains(labels, own) && strings.Contains(stack, pool) &&
			!strings.Contains(outermost, pool) && !strings.Contains(stack, caller) {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}
