package pool

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/sqlane/sqlane/internal/bridge"
)

// openConn opens a connection of the driver's and puts our own around it. Setting
// it up is setUp's.
func (p *Pool) openConn(ctx context.Context) (*conn, error) {
	raw, err := p.source.factory.Connect(ctx)
	if err != nil {
		return nil, err
	}
	under, ok := raw.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("modernc.org/sqlite %s: %T lacks a method that sqlane needs", driverVersion(), raw), raw.Close())
	}
	h, err := newHandle(raw)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	c := &conn{pool: p, raw: under, h: h, bridge: bridge.New(), cache: newCache(p.cfg.StatementCacheSize, &p.counts.statementHits, &p.counts.statementMisses)}
	if err := c.install(); err != nil {
		return nil, errors.Join(err, c.shut())
	}
	return c, nil
}

// prepareText compiles the statement, to tell at once if it is faulty, and leaves
// it to the cache.
func (c *conn) prepareText(cl *call, query string) (*stmt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admit(cl); err != nil {
		return nil, err
	}
	if parts := split(query); len(parts) == 1 {
		s := c.cache.take(query)
		if s == nil {
			var err error
			if s, err = c.prepare(cl, query, parts[0]); err != nil {
				return nil, err
			}
		}
		c.cache.give(s)
		c.locks.settle(c)
	}
	made := &stmt{conn: c, text: query, call: *cl}
	made.call.Context = nil
	return made, nil
}

var _ driver.Stmt = (*stmt)(nil)
