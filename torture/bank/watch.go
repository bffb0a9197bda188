package bank

import (
	"context"
	"time"

	"github.com/sqlane/sqlane/torture/child"
)

// Watch waits until a writing process has opened its pool and made a number of
// promises, or has ended, and returns what it said. For the promises it waits no
// longer than a limit.
func Watch(ctx context.Context, c *child.Child, promises int, limit time.Duration) (said []string) {
	var expired <-chan time.Time
	for {
		select {
		case line, running := <-c.Lines:
			if !running {
				return said
			}
			said = append(said, line)
			if line == Opened {
				t := time.NewTimer(limit)
				defer t.Stop()
				expired = t.C
			} else if _, ok := ParseAck(line); ok {
				promises--
			}
			if promises <= 0 && expired != nil {
				return said
			}
		case <-expired:
			return said
		case <-ctx.Done():
			return said
		}
	}
}
