package pool

import (
	"context"
	"errors"
	"strconv"
)

// nest runs fn in a savepoint of t, which fn's context brought along.
func (t *Tx) nest(ctx context.Context, level Level, fn func(context.Context, *Tx) error) error {
	if level > t.level {
		return t.pool.failTx("begin", level, ErrNestedLevel, nil, "the outer one is "+t.level.String()+"; begin that one at the stronger level")
	}
	return t.Savepoint(ctx, fn)
}

// Savepoint runs fn in a savepoint of the transaction: kept if fn returns nil,
// undone if it returns an error, which Savepoint returns unchanged, panics or
// calls runtime.Goexit. The transaction goes on either way.
func (t *Tx) Savepoint(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	if err := t.pool.given("savepoint", ctx, fn != nil); err != nil {
		return err
	}
	inner, err := t.openSavepoint(ctx)
	if err != nil {
		return err
	}
	return inner.run(ctx, fn, inner.closeSavepoint)
}

// openPart makes a part of t that is no savepoint: of a view, in which writes
// are refused, or of a batch's first member.
func (t *Tx) openPart(readOnly bool) (*Tx, error) {
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admit(new(t.call(context.Background()))); err != nil {
		return nil, err
	}
	return t.inner(readOnly), nil
}

// closePart ends the part and what is open in it.
func (t *Tx) closePart(keep bool) error {
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	defer t.after.leave()
	if err := c.admit(t.uncancellable()); err != nil {
		return t.pool.failTx("part", t.level, nil, err)
	}
	defer c.guard.pop(t.depth)
	err := c.closeRows(t.depth, ErrTxDone)
	switch {
	case !keep:
		return nil
	case c.guard.lost != nil:
		return c.lostError("commit")
	case err == nil && !t.readOnly:
		err = c.debt()
	}
	if err != nil {
		return t.pool.failTx("commit", t.level, nil, err)
	}
	t.after.keep()
	return nil
}

func (t *Tx) openSavepoint(ctx context.Context) (*Tx, error) {
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := t.call(ctx)
	cl.kind = poolCall
	if err := c.admit(&cl); err != nil {
		return nil, t.pool.failTx("savepoint", t.level, nil, err)
	}
	if err := c.control(&cl, savepointWords(len(c.guard.serials)).open); err != nil {
		return nil, t.pool.failTx("savepoint", t.level, nil, err)
	}
	return t.inner(t.readOnly), nil
}

// inner makes the Tx at the next depth. The caller holds conn.mu.
func (t *Tx) inner(readOnly bool) *Tx {
	in := *t
	in.depth = len(t.conn.guard.serials)
	in.serial = t.conn.guard.push()
	in.readOnly = in.readOnly || readOnly
	in.manual = false
	in.after = afterCommit{outer: &t.after}
	return &in
}

func (t *Tx) closeSavepoint(ctx context.Context, keep bool) error {
	c := t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	defer t.after.leave()
	if err := c.admit(t.uncancellable()); err != nil {
		return t.pool.failTx("savepoint", t.level, nil, err)
	}
	defer c.guard.pop(t.depth)
	rowsErr := c.closeRows(t.depth, ErrTxDone)
	if c.guard.lost != nil {
		if !keep {
			return nil
		}
		return t.pool.failTx("savepoint", t.level, ErrTxLost, c.guard.lost)
	}
	words := savepointWords(t.depth)
	var err error
	if keep {
		err = errors.Join(ctx.Err(), rowsErr)
		if err == nil && t.noInterrupt { // in a batch each pays its own debts
			err = c.debt()
		}
		if err == nil {
			if err = c.control(t.uncancellable(), words.release); err == nil {
				t.after.keep()
				return nil
			}
		}
		err = t.pool.failTx("savepoint", t.level, nil, err)
	}
	if undone := c.undo(t.uncancellable(), words); undone != nil {
		// The work could not be undone alone: the whole transaction must go.
		c.guard.lost = undone
	}
	return err
}

// undo takes back everything since the savepoint, and the savepoint too.
func (c *conn) undo(cl *call, words savepointText) error {
	return errors.Join(c.control(cl, words.undo), c.control(cl, words.release))
}

// savepointText is the SQL of the savepoint at a depth.
type savepointText struct{ open, release, undo string }

// firstSavepoints are those that nearly all are.
var firstSavepoints = [...]savepointText{1: newSavepointText(1), 2: newSavepointText(2), 3: newSavepointText(3)}

func savepointWords(depth int) savepointText {
	if depth < len(firstSavepoints) {
		return firstSavepoints[depth]
	}
	return newSavepointText(depth)
}

func newSavepointText(depth int) savepointText {
	name := "sqlane_" + strconv.Itoa(depth)
	return savepointText{open: "SAVEPOINT " + name, release: "RELEASE " + name, undo: "ROLLBACK TO " + name}
}
