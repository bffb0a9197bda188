package pool

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// connector is the factory that every connection of a pool comes from.
type connector struct {
	pool *Pool
	base driver.Connector
}

// Connect opens a connection and puts our own around it. Setting it up is
// Pool.setUp's.
func (k connector) Connect(ctx context.Context) (driver.Conn, error) {
	raw, err := k.base.Connect(ctx)
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
	p := k.pool
	c := &conn{pool: p, raw: under, h: h, cache: newCache(p.cfg.StatementCacheSize, &p.counts.statementHits, &p.counts.statementMisses)}
	if err := c.install(); err != nil {
		return nil, errors.Join(err, c.shut())
	}
	return c, nil
}

// Driver implements driver.Connector.
func (k connector) Driver() driver.Driver { return k.base.Driver() }

var _ interface {
	driver.Conn
	driver.ExecerContext
	driver.QueryerContext
	driver.ConnPrepareContext
	driver.ConnBeginTx
} = (*conn)(nil)

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.exec(c.callOf(ctx), query, args)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.query(c.callOf(ctx), query, args)
}

// PrepareContext implements driver.ConnPrepareContext. It compiles the
// statement, to tell at once if it is faulty, and leaves it to the cache.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	cl := c.callOf(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	made := &stmt{conn: c, text: query, call: *cl}
	made.call.Context = nil
	if c.endOfLostText(cl, query) != "" {
		return made, nil
	}
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
	return made, nil
}

// callOf finds the call that a statement came with. A statement without one was
// sent past the leases, by Config.OnConnect for instance, by whoever owns the
// connection at the moment.
func (c *conn) callOf(ctx context.Context) *call {
	if cl, ok := ctx.(*call); ok {
		return cl
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return &call{Context: ctx, epoch: c.epoch, depth: -1, control: c.text}
}

// BeginTx implements driver.ConnBeginTx: never reached through a lease.
func (c *conn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	return nil, c.pool.fail("begin", ErrTxControl, nil, "use InTx or Begin")
}

// Begin implements driver.Conn.
func (c *conn) Begin() (driver.Tx, error) { return c.BeginTx(context.Background(), driver.TxOptions{}) }

// Prepare implements driver.Conn.
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// Close implements driver.Conn.
func (c *conn) Close() error { return c.shut() }
