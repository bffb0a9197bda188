package pool

import (
	"context"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/sqlite"
)

// openConn opens a connection. Setting it up is setUp's.
func (p *Pool) openConn(ctx context.Context) (c *conn, err error) {
	c = &conn{pool: p, bridge: bridge.New()}
	c.db, err = sqlite.Open(ctx, p.source.factory, sqlite.Options{
		CacheSize: p.cfg.StatementCacheSize,
		Times:     sqlite.TimeFormat(p.cfg.TimeFormat),
		MayCommit: c.guard.mayCommit,
		Retired:   c.retired,
	})
	if err != nil {
		return nil, err
	}
	p.tallies.join(c)
	return c, nil
}
