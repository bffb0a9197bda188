package pool

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
)

// SQLite by itself checkpoints the write-ahead log inside the commit that makes
// it 1,000 pages long, and so inside the write slot: everybody who wants to write
// waits until the log is synced, copied and the database synced too, time and
// again. The same work can be done beside the writers, who only append
// (https://www.sqlite.org/wal.html, "Checkpointing"), by a connection that does
// nothing else. The slot is needed for the rest, what was written meanwhile: the
// next writer begins the log anew only if all of it was copied.
const (
	checkpointPages = 1000                // written, from which the log is checkpointed beside the writers
	restartPages    = 2 * checkpointPages // in the log, from which it is to begin anew
	backstopPages   = 4 * checkpointPages // in the log, from which the commits checkpoint it after all
	restPages       = 100                 // to copy that are few enough to keep writers waiting

	checkpointerIdle = 10 * time.Second // how long its connection stays open without work
)

// checkpointer is the goroutine that does it. Its connection is none of the
// pool's: it never runs a caller's statement.
type checkpointer struct {
	pool    *Pool
	written atomic.Int64  // pages since it looked last
	poke    chan struct{} // there are enough
	cancel  context.CancelFunc
	done    chan struct{}
	conn    *conn // nil if it is not open

	// turn holds one token: two checkpoints at the same time would be BUSY to each
	// other. A caller's statement has the write slot before it takes its turn.
	turn chan struct{}
}

// checkpointsBeside reports that the pool checkpoints beside its writers.
func (p *Pool) checkpointsBeside() bool {
	_, own := p.cfg.Pragmas["wal_autocheckpoint"]
	return p.read != nil && p.write != nil && !p.excluding && !p.cfg.ExternalCheckpoints && !own
}

func (p *Pool) startCheckpointer() {
	if !p.checkpointsBeside() {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	k := &checkpointer{pool: p, poke: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{}), turn: make(chan struct{}, 1)}
	p.checkpointer = k
	go k.run(housekeeping{ctx})
}

func (k *checkpointer) stop() {
	k.cancel()
	<-k.done
}

// wrote counts what a connection has written to the log since it was last asked.
// The caller holds conn.mu.
func (k *checkpointer) wrote(c *conn) {
	if k == nil || c.closed {
		return
	}
	pages, _, err := c.raw.Status(sqlite.DBStatusCacheWrite, true)
	if err == nil && pages > 0 && k.written.Add(int64(pages)) >= checkpointPages {
		select {
		case k.poke <- struct{}{}:
		default:
		}
	}
}

func (k *checkpointer) run(ctx context.Context) {
	defer close(k.done)
	idle := time.NewTimer(checkpointerIdle)
	defer idle.Stop()
	defer k.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			k.close()
		case <-k.poke:
			k.written.Store(0)
			if err := k.checkpoint(ctx); err != nil {
				k.close()
				if ctx.Err() == nil && !errors.Is(err, ErrClosed) {
					k.pool.warn("a checkpoint of the write-ahead log failed", err)
				}
			}
			idle.Reset(checkpointerIdle)
		}
	}
}

func (k *checkpointer) close() {
	if k.conn != nil {
		k.pool.warn("closing a connection failed", k.conn.discard())
		k.conn = nil
	}
}

// checkpoint copies the log to the database, and has it begin anew if it is long.
func (k *checkpointer) checkpoint(ctx context.Context) (err error) {
	if k.conn != nil && k.pool.outdated(k.conn) {
		k.close()
	}
	if k.conn == nil {
		if k.conn, err = k.pool.connectPatiently(ctx, journalVerified, false); err != nil {
			return err
		}
	}
	var pages int
	for tries, rest := 0, checkpointPages; rest > restPages && tries < 3; tries++ { // the writers go on meanwhile, but each time it is less
		if pages, rest, err = k.copyLog(); err != nil {
			return err
		}
	}
	if pages < restartPages {
		return nil
	}
	if err := k.pool.write.lockFirst(ctx); err != nil {
		return err
	}
	defer k.pool.write.unlock(exclusive)
	_, _, err = k.copyLog()
	return err
}

// copyLog copies what no reader of the past needs otherwise, and returns how many
// pages the log has and how many are left.
func (k *checkpointer) copyLog() (pages, rest int, err error) {
	c := k.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := ownCall()
	cl.beside = true
	row, err := c.row(cl, "PRAGMA wal_checkpoint(PASSIVE)")
	if err != nil {
		return 0, 0, err
	}
	log, _ := row[1].(int64)
	copied, _ := row[2].(int64)
	return int(log), int(log - copied), nil
}

// inTurn runs f, a checkpoint, while there is no other one.
func (k *checkpointer) inTurn(ctx context.Context, f func() error) error {
	if k == nil {
		return f()
	}
	select {
	case k.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-k.pool.hurry:
		return k.pool.fail("query", ErrClosed, nil)
	}
	defer func() { <-k.turn }()
	return f()
}
