package pool

import (
	"context"
	"strings"
	"time"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// others is what a connection knows of other connections' commits. conn.mu guards
// it.
//
// SQLite tells a connection by its data version that another one has committed, of
// this process or not, and does not say which (https://www.sqlite.org/pragma.html,
// data_version). So other processes are looked for by the write lane's connection,
// to which the commits that are made on it are no news, and in the write slot, so
// that nobody of this pool commits meanwhile. Every other connection of the pool
// that writes looks before and after, while it has the slot:
//
//	itself, the write lane's | ... commit ... | the write lane's, itself
//
// What another process commits before the left bar is news to the write lane's
// connection on the left, what it commits between the inner looks of the connection
// itself is news to that on the right, and what comes later is news to whoever looks
// next. Only the connection's own commit is news to nobody.
type others struct {
	seen    string // The data versions when it last looked; "" if it cannot be told what is news.
	looking bool   // It has looked before it writes, and is to look afterwards.
}

// looksForOthers reports that there may be commits of other processes, and that
// somebody wants to know of them.
func (p *Pool) looksForOthers() bool {
	return p.cfg.WatchInterval > 0 && !p.memory() && !p.immutable && p.watches.hub.Watched()
}

// look reports that others may have committed since the connection last looked. The
// caller holds mu.
func (c *conn) look() (news bool, err error) {
	schemas := []string{"main"}
	for _, a := range c.guard.attached.databases {
		if a.always {
			schemas = append(schemas, a.schema)
		}
	}
	var now strings.Builder
	for _, schema := range schemas {
		version, err := c.db.Word("PRAGMA " + quoted(schema) + ".data_version")
		if err != nil {
			return true, err
		}
		now.WriteString(version + " ")
	}
	news = c.others.seen != now.String()
	c.others.seen = now.String()
	return news, nil
}

// lookBeforeWriting is called before a statement runs. The caller holds mu.
func (c *conn) lookBeforeWriting(writes bool) {
	k := &c.locks
	if !k.slot || k.leased || c.others.looking || !c.pool.looksForOthers() {
		return
	}
	switch alone := c.db.Autocommit(); {
	case alone && !writes:
		return
	case !alone && c.db.Transaction() == sqlite.NoTransaction:
		return // to look would begin its snapshot, which its first write is to do; the COMMIT at the latest comes here again
	}
	c.others.looking = true
	_, unknown := c.look()
	if c.pool.lookOnWriteLane(true) || unknown != nil {
		c.pool.watches.hub.CommitAnything()
	}
}

// lookAfterWriting is called before the write slot is given back. The caller holds
// mu.
func (c *conn) lookAfterWriting() {
	if !c.others.looking {
		return
	}
	c.others.looking = false
	if !c.closed && !c.db.Autocommit() { // its transaction goes on, after a conflict: it has committed nothing that would be news there
		if c.pool.lookOnWriteLane(true) {
			c.pool.watches.hub.CommitAnything()
		}
		return
	}
	// Rows that are still read keep the connection from seeing what came later.
	blind := c.closed || c.db.Transaction() != sqlite.NoTransaction
	c.pool.lookOnWriteLane(!blind)
	if blind {
		return
	}
	if news, err := c.look(); news || err != nil {
		c.pool.watches.hub.CommitAnything()
	}
}

// lookOnWriteLane looks on the write lane's connection, for another one that has the
// slot. Where that cannot tell, or is not to trust what it sees, the next look is
// news.
func (p *Pool) lookOnWriteLane(trust bool) (news bool) {
	w := p.conns.writers()
	if w == nil {
		return false // its successor knows nothing
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	news, err := w.look()
	if err != nil || !trust {
		w.others.seen = ""
	}
	return news
}

// firstLookPatience is how long the first look waits for the write lane: the first
// run of a Watch waits for it.
const firstLookPatience = 100 * time.Millisecond

// lookFirst has the write lane's connection know what is no news. If writers keep
// it from that for long, its first look is news.
func (p *Pool) lookFirst() {
	if !p.looksForOthers() {
		return
	}
	if w := p.writer.Load(); w != nil && w.mu.TryLock() { // a transaction that goes on there keeps others out
		saw := !w.closed && w.locks.leased && !w.excludes() && w.db.Transaction() == sqlite.WriteTransaction
		if saw {
			_, err := w.look()
			saw = err == nil
		}
		w.mu.Unlock()
		if saw {
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), firstLookPatience)
	defer cancel()
	p.lookInTurn(ctx, false)
}

// pollOthers looks at intervals until the context ends.
func (p *Pool) pollOthers(ctx context.Context) {
	tick := time.NewTicker(p.cfg.WatchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_ = p.checkFile("watch") // what it finds it tells everybody
		p.lookInTurn(ctx, true)
	}
}

// lookInTurn looks on the write lane's connection, or on any of a pool that has no
// write lane. It tells whoever watches if there is news, unless it is the first look.
func (p *Pool) lookInTurn(ctx context.Context, tell bool) {
	h := holder{ctx: WithLabel(ctx, "watch"), own: true}
	g, err := p.takeFrom(p.housekeeping(ctx), wish{op: "watch", choice: choice{primary: p.write != nil}}, &h, nil)
	if err != nil {
		return // next time
	}
	defer p.give(g)
	c := g.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if news, err := c.look(); news && err == nil && tell {
		p.watches.hub.CommitAnything()
	}
}
