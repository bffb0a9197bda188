package dqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
	lib "modernc.org/sqlite/lib"
)

// tx is a transaction, or a part of one. It may be used by several goroutines.
type tx struct {
	store *Store
	conn  *conn
	level pool.Level
	outer *tx    // It is a part of this one.
	name  string // the savepoint's, if it is one

	// conn.mu guards the fields below.
	readOnly bool
	ended    bool
	lost     error    // The outermost one's: why there is nothing to commit any more.
	slot     bool     // The outermost one's: it took the write lane though it began without.
	parts    int      // The outermost one's: so many savepoints were in it.
	shared   bool     // The outermost one's: others' work is in it, and to stop a statement would end the connection.
	after    []func() // They are called after the commit.
}

type txKey struct{ store *Store }

// txOf is the transaction that the context carries, or nil.
func (s *Store) txOf(ctx context.Context) *tx {
	if ctx == nil { // which whoever asked refuses
		return nil
	}
	t, _ := ctx.Value(txKey{s}).(*tx)
	return t
}

func (t *tx) root() *tx {
	for t.outer != nil {
		t = t.outer
	}
	return t
}

// alive is why nothing can be done in it, or nil. The caller holds conn.mu.
func (t *tx) alive(op string) error {
	for part := t; part != nil; part = part.outer {
		if part.ended {
			return t.store.fail(op, pool.ErrTxDone, nil)
		}
	}
	if lost := t.root().lost; lost != nil {
		return t.store.fail(op, pool.ErrTxLost, lost)
	}
	return nil
}

// Level implements pool.StoreTx.
func (t *tx) Level() pool.Level { return t.level }

// AfterCommit implements pool.StoreTx.
func (t *tx) AfterCommit(fn func()) {
	t.conn.mu.Lock()
	defer t.conn.mu.Unlock()
	if fn != nil && t.alive("after commit") == nil {
		t.after = append(t.after, fn)
	}
}

// ExecContext implements pool.DBTX.
func (t *tx) ExecContext(ctx context.Context, query string, args ...any) (res sql.Result, err error) {
	err = t.run(ctx, "exec", query, args, func(ctx context.Context, st *statement) error {
		res, err = t.conn.run(ctx, st)
		return err
	})
	return res, err
}

// QueryContext implements pool.DBTX.
func (t *tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	got, err := t.rows(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return bridge.New().Rows(got)
}

// QueryRowContext implements pool.DBTX.
func (t *tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	got, err := t.rows(ctx, query, args)
	return bridge.New().First(got, err)
}

// PrepareContext implements pool.DBTX.
func (t *tx) PrepareContext(context.Context, string) (*sql.Stmt, error) {
	return nil, errors.ErrUnsupported
}

func (t *tx) rows(ctx context.Context, query string, args []any) (got *rows, err error) {
	err = t.run(ctx, "query", query, args, func(ctx context.Context, st *statement) error {
		got, err = t.conn.query(ctx, t, st, func(err error) { t.note(err) })
		return err
	})
	if err == nil {
		got.closeWith(ctx)
	}
	return got, err
}

// run runs a statement in the transaction.
func (t *tx) run(ctx context.Context, op, query string, args []any, do func(context.Context, *statement) error) error {
	if err := t.store.given(op, ctx, true); err != nil {
		return err
	}
	st, err := t.store.newStatement(query, args)
	if err != nil {
		return err
	}
	t.conn.mu.Lock()
	defer t.conn.mu.Unlock()
	if err := t.alive(op); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return t.store.fail(op, nil, err)
	}
	if !st.reads && !t.readOnly {
		if err := t.takeSlot(ctx, op); err != nil {
			return err
		}
	}
	t.conn.marked = t.conn.marked || st.marks
	ctx = t.stoppable(ctx)
	patience := t.store.patience()
	for {
		err = do(ctx, st)
		if !isBusy(err) || !patience.again(ctx, err) {
			break
		}
	}
	t.note(err)
	return t.failed(ctx, op, err)
}

// stoppable is the context, without its end in a transaction of which others' work is a
// part: what is stopped in the midst costs the connection.
func (t *tx) stoppable(ctx context.Context) context.Context {
	if t.root().shared {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// failed is why a statement has failed: with a leader that is gone the transaction is lost.
func (t *tx) failed(ctx context.Context, op string, err error) error {
	if isGone(err) && ctx.Err() == nil {
		return t.store.fail(op, pool.ErrTxLost, err)
	}
	return t.store.meaning(op, err)
}

// takeSlot waits for the write lane, for a transaction that began without it.
func (t *tx) takeSlot(ctx context.Context, op string) error {
	root := t.root()
	if root.level != pool.Deferred || root.slot {
		return nil
	}
	t.store.counts.acquires.Add(1)
	// It has begun, and so Shutdown waits for it.
	if err := t.store.write.Lock(ctx, lane.Exclusive, lane.Wait{Timeout: t.store.cfg.AcquireTimeout}); err != nil {
		return t.store.waitFailed(op, err)
	}
	root.slot = true
	return nil
}

// note finds out whether a failure has cost the transaction. The caller holds conn.mu.
func (t *tx) note(err error) {
	root := t.root()
	var refused *wire.Failure
	switch {
	case err == nil || root.lost != nil || root.ended:
	case t.conn.broken() || isGone(err):
		root.lost = err
	case errors.As(err, &refused):
		switch refused.Code & 0xff {
		case lib.SQLITE_ERROR, lib.SQLITE_READONLY, lib.SQLITE_MISMATCH, lib.SQLITE_RANGE, lib.SQLITE_TOOBIG:
			return // these undo the statement alone
		}
		if there, failed := t.conn.inTransaction(context.Background()); failed != nil || !there {
			root.lost = err
		}
	}
}

// Savepoint implements pool.StoreTx.
func (t *tx) Savepoint(ctx context.Context, fn func(ctx context.Context, tx pool.StoreTx) error) error {
	if err := t.store.given("savepoint", ctx, fn != nil); err != nil {
		return err
	}
	part, err := t.openSavepoint(ctx)
	if err != nil {
		return err
	}
	return part.call(ctx, fn, part.closeSavepoint)
}

// openSavepoint opens a savepoint. Each has a name of its own: of two that goroutines open
// side by side, one ends the other, and that one's end says so.
func (t *tx) openSavepoint(ctx context.Context) (*tx, error) {
	t.conn.mu.Lock()
	defer t.conn.mu.Unlock()
	if err := t.alive("savepoint"); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, t.store.fail("savepoint", nil, err)
	}
	root := t.root()
	root.parts++
	part := &tx{store: t.store, conn: t.conn, level: t.level, outer: t, name: fmt.Sprintf("part%d", root.parts), readOnly: t.readOnly}
	if _, err := t.conn.exec(t.stoppable(ctx), "SAVEPOINT "+part.name, nil); err != nil {
		t.note(err)
		return nil, t.failed(ctx, "savepoint", err)
	}
	return part, nil
}

func (t *tx) closeSavepoint(ctx context.Context, keep bool) error {
	text := "RELEASE " + t.name
	if !keep {
		text = "ROLLBACK TO " + t.name + "; " + text
	}
	err := t.conn.control(ctx, text)
	t.note(err)
	return t.failed(context.Background(), "savepoint", err)
}

// view runs fn in a part of the transaction that cannot write.
func (t *tx) view(ctx context.Context, fn func(context.Context, pool.StoreTx) error) error {
	t.conn.mu.Lock()
	err := t.alive("view")
	before := t.conn.readOnly
	if err == nil {
		err = t.conn.setReadOnly(t.stoppable(ctx), true)
		t.note(err)
		err = t.failed(ctx, "view", err)
	}
	t.conn.mu.Unlock()
	if err != nil {
		return err
	}
	part := &tx{store: t.store, conn: t.conn, level: t.level, outer: t, readOnly: true}
	return part.call(ctx, fn, func(ctx context.Context, _ bool) error {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
		defer cancel()
		err := t.conn.setReadOnly(bounded, before)
		t.note(err)
		return t.failed(bounded, "view", err)
	})
}

// call runs fn in the transaction and ends it by end, which is told whether to keep it and
// called with conn.mu. What the transaction has left to be called after its commit is its
// outer one's then.
func (t *tx) call(ctx context.Context, fn func(context.Context, pool.StoreTx) error, end func(context.Context, bool) error) (err error) {
	keep := false
	defer func() { // after a panic or Goexit too
		t.conn.mu.Lock()
		defer t.conn.mu.Unlock()
		t.conn.endRows(t)
		lost := t.root().lost
		if keep && lost != nil {
			keep, err = false, t.store.fail("commit", pool.ErrTxLost, lost)
		}
		if lost == nil || t.outer == nil {
			if failed := end(ctx, keep); err == nil {
				err = failed
			}
		}
		t.ended = true
		if keep && err == nil && t.outer != nil {
			t.outer.after = append(t.outer.after, t.after...)
		}
	}()
	if err = fn(context.WithValue(ctx, txKey{t.store}, t), t); err != nil {
		return err
	}
	if ended := ctx.Err(); ended != nil {
		return t.store.fail("commit", nil, ended)
	}
	keep = true
	return nil
}

// afterwards calls the functions, though some of them may panic.
func afterwards(functions []func()) {
	if len(functions) > 0 {
		defer afterwards(functions[1:])
		functions[0]()
	}
}
