package peers

import (
	"context"
	"errors"
	"fmt"

	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/repo"
)

// Sqlane is the one that the others are measured beside.
func Sqlane() Peer {
	return Peer{
		Name:    "sqlane",
		Module:  "github.com/sqlane/sqlane",
		Config:  `repo.New(pool) of pool.Open(ctx, pool.Config{Path: "app.db", Synchronous: "full"}): the defaults`,
		Source:  "pool.Config",
		Modernc: true,
		Open:    openSqlane,
		Busy: func(err error) bool {
			return errors.Is(err, pool.ErrBusy) || errors.Is(err, pool.ErrConflict) || pool.IsBusy(err)
		},
	}
}

type sqlaneDB struct {
	*repo.Repo
	pool *pool.Pool
}

func openSqlane(ctx context.Context, o Options) (DB, error) {
	p, err := pool.Open(ctx, pool.Config{Path: o.Path, Synchronous: pool.Synchronous(o.Synchronous), MaxConns: o.Conns, MinConns: o.Conns})
	if err != nil {
		return nil, fmt.Errorf("sqlane: %w", err)
	}
	return OnPool(p), nil
}

// OnPool is what Sqlane opens, on a pool that somebody has configured otherwise.
func OnPool(p *pool.Pool) DB { return &sqlaneDB{repo.New(p), p} }

// Touch implements DB.
func (d *sqlaneDB) Touch(ctx context.Context, path string, log gen.AppendLogParams) error {
	return d.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
		return touch(ctx, tx, path, log)
	})
}

// Hold implements DB.
func (d *sqlaneDB) Hold(ctx context.Context, use func()) error {
	lease, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	use()
	lease.Release()
	return nil
}

// Pooled is what sqlane's DB is besides: workloads that only it can do need its pool.
type Pooled interface{ Pool() *pool.Pool }

// Pool implements Pooled.
func (d *sqlaneDB) Pool() *pool.Pool { return d.pool }

// Close implements DB.
func (d *sqlaneDB) Close() error { return d.pool.Close() }
