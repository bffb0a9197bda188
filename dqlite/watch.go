package dqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/sqlane/sqlane/pool"
)

// commits tells those who wait of this process's commits.
type commits struct {
	mu   sync.Mutex    // It guards the field below.
	next chan struct{} // It is closed by the next commit; nil while nobody waits.
}

// after returns what the next commit closes.
func (n *commits) after() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next == nil {
		n.next = make(chan struct{})
	}
	return n.next
}

func (n *commits) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next != nil {
		close(n.next)
		n.next = nil
	}
}

// StoreWatch runs fn in a view at once, and again after every commit of this process, and
// whenever SQLite's data version tells of another's: dqlite has nothing that says which
// tables were changed. It looks every WatchInterval, on a connection of its own.
func (s *Store) StoreWatch(ctx context.Context, fn func(ctx context.Context, tx pool.StoreTx) error) iter.Seq[error] {
	return func(yield func(error) bool) {
		if yield == nil {
			return
		}
		err := s.given("watch", ctx, fn != nil)
		if err == nil && s.txOf(ctx) != nil {
			err = s.fail("watch", pool.ErrDeadlock, saying("the context carries a transaction, which the loop would outlast"))
		}
		if err != nil {
			yield(err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.life, cancel)()
		o := others{store: s}
		defer o.end()
		seen := o.version(ctx)
		for {
			own := s.news.after()
			err := s.StoreView(ctx, fn)
			if ctx.Err() != nil {
				break
			}
			if !yield(err) {
				return
			}
			var there bool
			if seen, there = s.waitForNews(ctx, own, &o, seen); !there {
				break
			}
		}
		if s.life.Err() != nil {
			yield(s.closed("watch"))
			return
		}
		yield(ctx.Err())
	}
}

// waitForNews waits for a commit, and reports false if the context ended before.
func (s *Store) waitForNews(ctx context.Context, own <-chan struct{}, o *others, seen version) (version, bool) {
	var look <-chan time.Time
	if s.cfg.WatchInterval > 0 {
		tick := time.NewTicker(s.cfg.WatchInterval)
		defer tick.Stop()
		look = tick.C
	}
	for {
		select {
		case <-ctx.Done():
			return seen, false
		case <-own:
			return o.version(ctx), ctx.Err() == nil
		case <-look:
			if now := o.version(ctx); now != seen {
				return now, ctx.Err() == nil
			}
		}
	}
}

// version is SQLite's data version on one connection
// (https://www.sqlite.org/pragma.html#pragma_data_version).
type version struct {
	connection int
	number     int64
}

// others looks for commits of others.
type others struct {
	store *Store
	conn  *conn
	count int // of connections so far
}

// version is another one after others have committed. On another connection, or where
// there is none, it is another one too.
func (o *others) version(ctx context.Context) version {
	if o.conn == nil {
		o.count++
		c, err := o.store.connect(ctx, "watch")
		if err != nil {
			return version{connection: o.count}
		}
		o.conn = c
	}
	o.conn.mu.Lock()
	defer o.conn.mu.Unlock()
	got, err := o.conn.query(ctx, nil, &statement{text: "PRAGMA data_version", rows: true}, nil)
	if err == nil {
		row := make([]driver.Value, 1)
		err = errors.Join(got.from.Next(row), got.end(io.EOF))
		if number, ok := row[0].(int64); ok && err == nil {
			return version{o.count, number}
		}
	}
	o.conn.close()
	o.conn = nil
	return version{connection: -o.count}
}

func (o *others) end() {
	if o.conn != nil {
		o.conn.close()
	}
}
