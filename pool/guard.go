package pool

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// guard knows the transaction that a connection is in, and notices when SQLite
// has ended it by itself. conn.mu guards it.
type guard struct {
	serials    []uint64 // The open transactions have these numbers, the outermost first.
	lastSerial uint64   // The last transaction that was begun has this number.
	lost       error    // The transaction is gone for this reason although nobody has ended it.
	committing bool     // The pool has ordered the commit that runs.
	deferring  bool     // PRAGMA defer_foreign_keys was set in this transaction.
	keys       keysSaid // The transaction was told this of foreign keys.
	textual    bool     // A transaction was begun as text, through DB.
	attached   attached // These databases are attached.
	alone      *alone   // A Writer's statement runs in autocommit; nil if none does.

	busyTimeout time.Duration // PRAGMA busy_timeout shows this.
	journal     string        // The journal mode is this one, which nobody changes.
}

// mayCommit is the second line: a statement that was meant for a transaction must
// not commit on its own after that transaction was lost.
func (g *guard) mayCommit() bool {
	if g.alone != nil {
		return g.alone.mayCommit()
	}
	return len(g.serials) == 0 || g.committing
}

// admit refuses a statement that may not run here, or not any more.
func (c *conn) admit(cl *call) error {
	switch inTx := cl.depth >= 0; {
	case cl.Context == nil:
		return errNoContext("query", c.pool.path)
	case cl.epoch != c.epoch && inTx:
		return c.pool.fail("query", ErrTxDone, nil)
	case cl.epoch != c.epoch:
		return c.pool.fail("query", ErrReleased, nil)
	case c.closed: // under its lease
		return c.pool.fail("query", ErrClosed, nil)
	case inTx && (cl.depth >= len(c.guard.serials) || c.guard.serials[cl.depth] != cl.serial):
		return c.pool.fail("query", ErrTxDone, nil)
	case c.guard.lost != nil && !cl.uncancellable():
		return c.lostError("query")
	case !cl.uncancellable():
		return cl.Context.Err()
	}
	return nil
}

// enter does what must be done before a statement runs.
func (c *conn) enter(cl *call, s *sqlite.Stmt, args []sqlite.Argument) error {
	if err := s.Check(args); err != nil {
		return err
	}
	switch {
	case !cl.mayControl(&s.Effects):
		return c.pool.fail("query", ErrTxControl, nil, "use InTx, Begin or Savepoint instead")
	case s.Writes && (cl.readOnly || c.pool.cfg.ReadOnly) && !s.Effects.Control():
		if c.pool.cfg.ReadOnly {
			return c.pool.fail("write", ErrReadOnly, nil, readOnlyPool)
		}
		return c.pool.fail("write", ErrReadOnly, nil, "a View, a Reader and a read-only sql.Tx only read; use InTx, Batch or Writer")
	case s.Effects.Drops && c.guard.keys == keysStayOn:
		return c.pool.fail("query", errors.ErrUnsupported, nil, "DROP TABLE takes the rows along that refer to the table, and this transaction could not switch foreign keys off; roll it back")
	case !s.Effects.Control() && c.guard.inTx() && c.db.Autocommit():
		c.guard.lost = errors.New("no transaction is open any more")
		return c.lostError("query")
	}
	if change := c.changeBy(&s.Effects); change != "" { // it may have been prepared by OnConnect
		c.changed(change)
	}
	err := c.locks.take(c, cl, s)
	if err == nil {
		c.lookBeforeWriting(s.Writes)
	}
	return err
}

// check notices that the transaction is gone after a statement failed with err.
func (g *guard) check(c *conn, err error) {
	if err != nil && g.inTx() && g.lost == nil && !g.committing && c.db.Autocommit() {
		g.lost = err
		c.work.Undo()
		c.pool.counts.lost.Add(1)
	}
}

func (c *conn) lostError(op string) error {
	return c.pool.fail(op, ErrTxLost, c.guard.lost)
}

// control runs one of the pool's own transaction statements.
func (c *conn) control(cl *call, text string) error {
	s := c.cached(text)
	if s == nil {
		var err error
		if s, err = c.prepare(cl, text, text); err != nil {
			return err
		}
	}
	_, err := c.complete(cl, s, nil)
	return err
}

func (g *guard) inTx() bool { return len(g.serials) > 0 || g.textual }

// endLostText lets text end a transaction that was begun as text and lost: a
// ROLLBACK finds it done, a COMMIT learns of it.
func (c *conn) endLostText(cl *call, query string) (ended bool, err error) {
	switch c.endOfLostText(cl, query) {
	case "":
		return false, nil
	case "COMMIT":
		err = c.lostError("commit")
	}
	c.guard.pop(0)
	return true, err
}

// endOfLostText is COMMIT or ROLLBACK, if that is what the text means to such a
// transaction.
func (c *conn) endOfLostText(cl *call, query string) string {
	if c.guard.lost == nil || !c.guard.textual || cl.kind != textCall || cl.epoch != c.epoch {
		return ""
	}
	parts := sqlite.Split(query)
	if len(parts) != 1 {
		return ""
	}
	switch words := strings.Fields(strings.ToUpper(parts[0])); {
	case words[0] == "ROLLBACK" && !slices.Contains(words, "TO"):
		return "ROLLBACK"
	case words[0] == "COMMIT", words[0] == "END":
		return "COMMIT"
	}
	return ""
}

// push and pop keep the stack of open transactions.
func (g *guard) push() (serial uint64) {
	g.lastSerial++
	g.serials = append(g.serials, g.lastSerial)
	return g.lastSerial
}

func (g *guard) pop(depth int) {
	g.serials = g.serials[:depth]
	if depth == 0 {
		g.lost, g.deferring, g.textual, g.keys = nil, false, false, keysUnsaid
	}
}
