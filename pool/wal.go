package pool

import (
	"context"
	"slices"
	"time"
)

// logWarning is the size from which a write-ahead log is looked after. SQLite
// checkpoints it by itself every 1,000 pages (https://www.sqlite.org/wal.html),
// inside the commit and so inside the write slot; one this large is pinned by a
// reader that stays in its snapshot.
const logWarning = 64 << 20

// checkLog checkpoints a log that has grown, and tells who keeps it from
// shrinking.
func (p *Pool) checkLog(ctx context.Context) {
	if p.write == nil || p.excluding || p.cfg.ExternalCheckpoints || p.walBytes() < logWarning {
		return
	}
	whole, err := p.checkpoint(ctx)
	if err != nil || whole {
		return
	}
	attrs := []any{"path", p.path, "wal_bytes", p.walBytes()}
	if h := p.oldestHolder(); h != nil {
		attrs = append(attrs, "age", time.Since(h.since), "label", h.label, "stack", h.trace())
	}
	p.cfg.Logger.Warn("a reader keeps the write-ahead log from being checkpointed", attrs...)
}

// checkpoint copies what it can of the log into the database, and waits for
// nobody: PASSIVE, inside the write slot. It reports whether that was all.
func (p *Pool) checkpoint(ctx context.Context) (whole bool, err error) {
	l, err := p.lease(ctx, "checkpoint", true, nil)
	if err != nil {
		return false, err
	}
	defer l.Release()
	var busy, log, done int
	err = l.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &log, &done)
	return log == done, err
}

func (p *Pool) oldestHolder() *holder {
	p.mu.Lock()
	defer p.mu.Unlock()
	var held []*holder
	for c := range p.conns {
		if c.inUse != nil && c != p.primary {
			held = append(held, c.inUse)
		}
	}
	if len(held) == 0 {
		return nil
	}
	return slices.MinFunc(held, func(a, b *holder) int { return a.since.Compare(b.since) })
}
