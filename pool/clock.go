package pool

import "time"

// clock is the time since the pool began to open, and more than 0: half as dear as
// time.Now, and no concern of the wall clock.
func (p *Pool) clock() time.Duration { return time.Since(p.opened) }

// lately is clock, or up to watchInterval before it, roughly: what the watcher has read
// last, while it is awake. To read the clock is a fifth of what it costs to take a
// connection and to give it back.
func (p *Pool) lately() time.Duration {
	if at := p.watcher.at.Load(); at != 0 {
		return time.Duration(at)
	}
	return p.clock()
}
