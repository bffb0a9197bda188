package pool

import "time"

// clock is the time since the pool began to open, and more than 0: half as dear as
// time.Now, and no concern of the wall clock.
func (p *Pool) clock() time.Duration { return time.Since(p.opened) }
