package pool

import "github.com/sqlane/sqlane/internal/sqlite"

// alone is a Writer's statement that runs in autocommit: SQLite's own transaction is
// as durable as one of the pool's, and spares two statements. It is for a statement
// behind which nobody waits: where somebody does, a shared commit spares more.
type alone struct {
	stmt    *sqlite.Stmt
	ended   bool // Its rows were ended before it did, and its caller is told of a failure: there is nothing to commit any more.
	refused bool // It was not committed, since it is not what it was known to be.
}

// mayCommit is asked before the statement is committed: see guard.mayCommit. SQLite
// may have compiled it again, for a schema that has it leave half of what it does.
func (a *alone) mayCommit() bool {
	a.refused = !a.stmt.Current()
	return !a.refused && !a.ended
}

// runAlone runs the statement of a member that has the write lane by g, and gives
// that back. It reports false, and has done nothing, if it takes a transaction.
func (p *Pool) runAlone(g grip, m *member) (done bool) {
	c := g.conn
	again := false
	defer func() { // a panic or Goexit may be passing through
		c.mu.Lock()
		c.guard.alone = nil
		c.mu.Unlock()
		if !again {
			p.give(g)
		}
	}()
	a := c.mayRunAlone(g, m)
	if again = a == nil; again {
		return false
	}
	m.err = m.single.run(c, g.call(m.ctx))
	switch again = a.refused; {
	case again:
		m.err = nil
		c.mu.Lock()
		c.refuseAlone(m.single.Text)
		c.mu.Unlock()
	case m.err != nil:
		p.counts.rolledBack.Add(1)
	default:
		p.counts.committed.Add(1)
		p.counts.batches.Add(1)
		p.counts.batchMembers.Add(1)
	}
	return !again
}

// mayRunAlone has the connection run the statement alone. It is nil if that needs a
// transaction of the pool's, or if others are about to share one. Outside WAL mode what a
// commit waits for, readers of other processes, it could not wait for again.
func (c *conn) mayRunAlone(g grip, m *member) *alone {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pool
	if p.excluding || len(c.guard.attached.databases) > 0 || p.write.Queued() > 0 || p.batching.lastShared.Load() || m.ctx.Err() != nil || !c.plain(m) {
		return nil
	}
	s := c.db.Known(m.single.Text)
	if c.refused[m.single.Text] >= maxRefusals {
		return nil
	}
	if !s.Whole(func(text string) (string, error) { return c.word(new(g.call(m.ctx)), text) }) {
		return nil
	}
	m.single.alone = alone{stmt: s}
	c.guard.alone = &m.single.alone
	return c.guard.alone
}

// maxRefusals is how often a statement may run in vain. SQLite compiles some again
// for each argument that they get, not only when the schema has changed
// (https://www.sqlite.org/c3ref/prepare.html).
const maxRefusals = 2

func (c *conn) refuseAlone(query string) {
	if c.refused == nil || len(c.refused) > c.pool.cfg.StatementCacheSize {
		c.refused = map[string]int{}
	}
	c.refused[query]++
}
