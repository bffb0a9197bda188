package pool

import (
	"context"
	"os"
	"sync/atomic"

	modernc "modernc.org/sqlite"
)

// At Synchronous "normal" a commit is not synced. The checkpoint is that SQLite
// makes within the commit which brings the log to 4,000 pages, and first of all it
// syncs these, some megabytes, while everybody who wants to write waits
// (https://www.sqlite.org/wal.html, "Performance Considerations"). So the log is
// synced beside the writers, part by part: the checkpoint finds little left to
// sync, and is the same in all else. That a sync comes early promises nothing.
const syncPages = 250 // written to the log since the last sync

// logSync is the goroutine that does it, with a descriptor of its own. To close
// that drops no lock of SQLite's: they are on the database file and the -shm, none
// on the log (https://www.sqlite.org/walformat.html#wal_locks).
type logSync struct {
	pool    *Pool
	written atomic.Int64       // Writers count here the pages since the last sync began.
	enough  bell               // It is rung when there are enough to be synced.
	cancel  context.CancelFunc // It ends the goroutine.
	done    chan struct{}      // It is closed when the goroutine has ended.
}

func (p *Pool) startLogSync() {
	if p.write == nil || p.excluding || p.cfg.Synchronous != SyncNormal {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.logSync = &logSync{pool: p, enough: newBell(), cancel: cancel, done: make(chan struct{})}
	go p.logSync.run(ctx)
}

func (s *logSync) stop() {
	s.cancel()
	<-s.done
}

// wrote counts what a connection has written since it was last asked. The caller
// holds conn.mu.
func (s *logSync) wrote(c *conn) {
	if s == nil || c.closed {
		return
	}
	pages, _, err := c.db.Driver().Status(modernc.DBStatusCacheWrite, true)
	if err == nil && pages > 0 && s.written.Add(int64(pages)) >= syncPages {
		s.enough.ring()
	}
}

// run ends at the first failure: SQLite's own sync tells its caller of it.
func (s *logSync) run(ctx context.Context) {
	defer close(s.done)
	var log *os.File
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.enough:
		}
		s.written.Store(0)
		var err error
		if log == nil {
			if log, err = os.OpenFile(s.pool.real+"-wal", os.O_RDWR, 0); err == nil {
				defer log.Close()
			}
		}
		if err == nil {
			err = log.Sync()
		}
		if err != nil {
			s.pool.warn("syncing the write-ahead log early failed", err)
			return
		}
	}
}

// wroteSomething has maintenance look at the log soon.
func (p *Pool) wroteSomething() {
	if m := &p.maintenance; !m.wrote.Load() && !m.wrote.Swap(true) && !p.excluding {
		p.bell.ring()
	}
}
