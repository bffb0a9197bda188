package docs

import (
	"context"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/require"
)

// migrations are embedded in a program.
var migrations = bank

func TestATransferIsWholeOrNothing(t *testing.T) {
	t.Parallel()
	p := pooltest.New(t, pooltest.Migrations(migrations))
	require.NoError(t, transfer(t.Context(), p, "ann", "bob", 7))
	require.Equal(t, errTooLittle, transfer(t.Context(), p, "ann", "bob", 7))
}

func TestAFullDiskLosesNothing(t *testing.T) {
	p := pooltest.New(t, pooltest.Migrations(migrations))
	pooltest.Fail(t, p, pooltest.DiskFull)
	n, err := load(t.Context(), p, "ann", make([]int, 100_000))
	require.True(t, pool.IsFull(err))
	pooltest.Heal(t, p) // somebody made room
	require.Equal(t, n, number(t, p, "SELECT count(*) FROM log"))
}

func TestEveryQueryHasAnIndex(t *testing.T) {
	p := pooltest.New(t, pooltest.Migrations(migrations))
	statements := []pool.Statement{ // of a repository: store.Statements()
		{Name: "GetAccount", SQL: "SELECT balance FROM accounts WHERE name = ?", Reads: true},
		{Name: "Total", SQL: "SELECT sum(balance) FROM accounts", Reads: true},
	}
	pooltest.Plans(t, p, statements, pooltest.NoScan, pooltest.NoTempBTree, pooltest.Waive("Total", "adds all of them"))
}

func TestTheFaultsAreWhatTheTableSays(t *testing.T) {
	p := open(t, pooltest.File(), pooltest.Config(func(cfg *pool.Config) { cfg.BusyTimeout = -1 }))
	for _, c := range []struct {
		fault pooltest.Fault
		want  error
	}{{pooltest.LostTx, pool.ErrTxLost}, {pooltest.Locked(0), pool.ErrBusy}, {pooltest.Moved, pool.ErrMoved}} {
		pooltest.Fail(t, p, c.fault)
		err := p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			_ = put(ctx, tx, "ann", 1)
			return put(ctx, tx, "ann", 1)
		})
		require.ErrorIs(t, err, c.want, c.fault.String())
		pooltest.Heal(t, p)
	}
	pooltest.Fail(t, p, pooltest.IOError(1))
	code, ok := pool.Code(put(t.Context(), p.Writer(), "ann", 1))
	require.True(t, ok)
	require.Equal(t, 778, code, "SQLITE_IOERR_WRITE")
	pooltest.Heal(t, p)
	require.NoError(t, put(t.Context(), p.Writer(), "ann", 1))
	require.Equal(t, 11, balance(t, p, "ann"))
}
