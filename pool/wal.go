package pool

import (
	"context"
	"time"
)

// SQLite checkpoints a write-ahead log by itself, inside the commit that brings it
// to a number of pages, and so inside the write slot. The pool makes that 4,000 of 4
// KiB instead of SQLite's 1,000: what is written again and again is copied more
// rarely, and the log, with 24 bytes more a page, still fits into what is kept of
// its file. But the log starts anew only at a moment when no reader uses it, and
// readers that overlap never let that moment come: the log would grow without bound
// (https://www.sqlite.org/wal.html, "Avoiding Excessively Large WAL Files"). So the
// pool makes one: it keeps the write slot for a short while, in which the readers of
// the past leave and new ones find all that they need in the database file.
const (
	logKept    = 16 << 20 // bytes of a log that stay allocated, and from which it is looked after
	logWarning = 4 * logKept

	checkpointBytes = 4000 * 4096 // of pages in the log

	logInterval = 100 * time.Millisecond // between looks while there are writes
	minStall    = 20 * time.Millisecond  // how long writers may be kept waiting; it
	maxStall    = time.Second            // grows with the square of the log's size
	stallShare  = 10                     // one part of the time in so many
)

// logCare is what maintenance knows of the log.
type logCare struct {
	notBefore time.Time     // The next look is then at the earliest.
	warned    time.Duration // The reader that was warned of last has had its lease since then.
}

// careForLog starts a log anew that has grown.
func (p *Pool) careForLog(ctx context.Context, m *maintenance) {
	if p.write == nil || p.excluding || p.cfg.ExternalCheckpoints || !m.wrote.Load() || time.Now().Before(m.log.notBefore) {
		return
	}
	m.wrote.Store(false)
	m.log.notBefore = time.Now().Add(logInterval)
	size := p.walBytes()
	if size <= logKept {
		return
	}
	times := float64(size) / logKept
	started := time.Now()
	done, err := p.restartLog(ctx, min(time.Duration(times*times*float64(minStall)), maxStall))
	m.log.notBefore = time.Now().Add(max(logInterval, stallShare*time.Since(started)))
	if err != nil || done {
		return
	}
	m.wrote.Store(true) // try again
	if h, ok := p.oldestReader(); ok && size > logWarning && h.since != m.log.warned {
		m.log.warned = h.since
		p.cfg.Logger.Warn("a reader keeps the write-ahead log from starting anew", "path", p.path, "wal_bytes", size,
			"age", p.clock()-h.since, "label", labelOf(h.ctx), "stack", h.stackText())
	}
}

// restartLog checkpoints the whole log, and sees to it that the next writer
// begins it anew, if the readers let it within the limit. It waits for them
// itself, between attempts: SQLite's own waiting knows no context.
func (p *Pool) restartLog(ctx context.Context, limit time.Duration) (done bool, err error) {
	l, err := p.acquire(p.housekeeping(ctx), wish{op: "checkpoint", choice: choice{primary: true}}, &holder{ctx: WithLabel(ctx, "checkpoint")})
	if err != nil {
		return false, err
	}
	defer l.Release()
	for wait := newBusyWait(limit); ; {
		var busy, pages, copied int
		err := l.QueryRowContext(ctx, "PRAGMA wal_checkpoint(RESTART)").Scan(&busy, &pages, &copied)
		if err != nil || busy == 0 {
			return err == nil, err
		}
		if wait.pause(ctx, p.ending.forced) != nil {
			return false, nil
		}
	}
}

// oldestReader is who has had a connection of the read lane the longest.
func (p *Pool) oldestReader() (oldest loan, ok bool) {
	for _, l := range p.conns.report().lent {
		if !l.primary && (!ok || l.since < oldest.since) {
			oldest, ok = l, true
		}
	}
	return oldest, ok
}
