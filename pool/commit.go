package pool

import (
	"context"
	"errors"

	modernc "modernc.org/sqlite"
)

// Commit ends a transaction from Begin and makes its work permanent. If that
// fails the transaction is rolled back: ErrTxLost if SQLite had rolled it back
// before, ErrTxDone if it had ended, the context's error if ctx is over. Outside
// WAL mode an I/O error leaves open whether it is rolled back: the journal may
// have been gone before it came.
func (t *Tx) Commit(ctx context.Context) error {
	if err := t.mayEnd("commit"); err != nil {
		return err
	}
	if err := t.pool.given("commit", ctx, true); err != nil {
		return errors.Join(err, t.Rollback(ctx))
	}
	return t.end(ctx, true)
}

// Rollback ends a transaction from Begin and undoes its work, even if ctx is
// over, or nil. After the end it does nothing.
func (t *Tx) Rollback(ctx context.Context) error {
	if err := t.mayEnd("rollback"); err != nil {
		return err
	}
	if ctx == nil {
		ctx = context.Background()
	}
	if err := t.end(context.WithoutCancel(ctx), false); err != nil && !errors.Is(err, ErrTxDone) {
		return err
	}
	return nil
}

func (t *Tx) mayEnd(op string) error {
	if t.manual {
		return nil
	}
	return t.pool.failTx(op, t.level, ErrTxControl, nil, "the function's return ends this transaction; only one from Begin is ended by hand")
}

// end ends an outermost transaction, gives its connection back, and calls what
// waits for the commit.
func (t *Tx) end(ctx context.Context, keep bool) error {
	err := t.endLease(ctx, keep)
	if keep && err == nil {
		t.after.call()
	}
	return err
}

func (t *Tx) endLease(ctx context.Context, keep bool) error {
	defer t.lease.Release() // a virtual table may panic over the commit
	err := t.finish(ctx, keep)
	t.span.finish(err)
	return err
}

func (t *Tx) finish(ctx context.Context, keep bool) error {
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := t.call(ctx)
	cl.kind, cl.span = poolCall, t.span
	op := "rollback"
	if keep {
		op = "commit"
	}
	err := c.admit(t.uncancellable())
	if err != nil {
		return t.pool.failTx(op, t.level, nil, err)
	}
	defer c.guard.pop(0)
	rowsErr := c.closeRows(0, ErrTxDone)
	if c.guard.lost != nil {
		if !keep {
			return nil
		}
		return t.pool.failTx(op, t.level, ErrTxLost, c.guard.lost)
	}
	if keep {
		if err = errors.Join(ctx.Err(), rowsErr); err == nil {
			c.guard.committing = true
			err = c.control(&cl, "COMMIT")
			c.guard.committing = false
		}
		if err == nil {
			t.pool.counts.committed.Add(1)
			return nil
		}
		err = t.pool.failTx(op, t.level, nil, err)
	}
	t.pool.counts.rolledBack.Add(1)
	if !c.db.Autocommit() {
		c.guard.committing = true
		undone := c.control(ownCall(), "ROLLBACK")
		c.guard.committing = false
		if undone != nil {
			c.broken = undone
			err = errors.Join(err, t.pool.failTx("rollback", t.level, nil, undone))
		}
	}
	return err
}

// debt is an error if a deferred foreign key is unmet.
// See https://www.sqlite.org/c3ref/c_dbstatus_options.html.
func (c *conn) debt() error {
	unmet, _, err := c.db.Driver().Status(modernc.DBStatusDeferredFKs, false)
	if err == nil && unmet != 0 {
		err = debtError{}
	}
	return err
}
