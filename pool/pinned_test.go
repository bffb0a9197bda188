package pool_test

import (
	"context"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// TestWhoHasAConnectionKeepsNoTransactionFromBeingTakenBack takes connections with the
// context of a savepoint, which leads to its transaction, and loses that one.
func TestWhoHasAConnectionKeepsNoTransactionFromBeingTakenBack(t *testing.T) {
	besideOthers(t) // for it waits
	takers := map[string]func(ctx context.Context, p *pool.Pool) (giveBack func(), err error){
		"a lease": func(ctx context.Context, p *pool.Pool) (func(), error) {
			l, err := p.Acquire(ctx)
			return func() { l.Release() }, err
		},
		"a transaction": func(ctx context.Context, p *pool.Pool) (func(), error) {
			tx, err := p.Begin(ctx, pool.Deferred)
			return func() { _ = tx.Rollback(t.Context()) }, err
		},
		"a connection of database/sql": func(ctx context.Context, p *pool.Pool) (func(), error) {
			c, err := p.DB().Conn(ctx)
			return func() { _ = c.Close() }, err
		},
	}
	for name, take := range takers {
		t.Run(name, func(t *testing.T) {
			p := open(t, pool.Config{MaxConns: 2})
			giveBack := func() {}
			func() {
				lost, err := p.Begin(t.Context(), pool.Immediate)
				require.NoError(t, err)
				require.NoError(t, lost.Savepoint(pool.WithLabel(t.Context(), "inner"), func(ctx context.Context, _ *pool.Tx) (err error) {
					giveBack, err = take(ctx, p)
					return err
				}))
			}()
			defer giveBack()
			waitForGarbage(t, "it is taken back", func() bool { return p.Stats().Reclaimed == 1 })
		})
	}
}

// TestWhatASavepointLeavesBehindKeepsNoTransactionFromBeingTakenBack: rows of the
// transaction that were opened with the savepoint's context, that context and the
// savepoint's own Tx.
func TestWhatASavepointLeavesBehindKeepsNoTransactionFromBeingTakenBack(t *testing.T) {
	besideOthers(t) // for it waits
	p := open(t, pool.Config{MaxConns: 2})
	var rows pool.Rows
	var inner *pool.Tx
	var within context.Context
	func() {
		lost, err := p.Begin(t.Context(), pool.Immediate)
		require.NoError(t, err)
		require.NoError(t, lost.Savepoint(t.Context(), func(ctx context.Context, tx *pool.Tx) (err error) {
			tx.AfterCommit(func() { t.Error("nothing is committed") })
			inner, within = tx, ctx
			rows, err = lost.Query(ctx, "SELECT id FROM n")
			return err
		}))
	}()
	waitForGarbage(t, "it is taken back", func() bool { return p.Stats().Reclaimed == 1 && p.Stats().InUse == 0 })
	require.False(t, rows.Next())
	require.ErrorIs(t, rows.Err(), pool.ErrReleased)
	require.ErrorIs(t, do(t.Context(), inner, "SELECT 1"), pool.ErrTxDone)
	require.NoError(t, p.Batch(context.WithoutCancel(t.Context()), doing("UPDATE n SET v = 1")), "the lane is free")
	l, err := p.Acquire(within)
	require.NoError(t, err, "the context's transaction holds nothing any more")
	l.Release()
}
