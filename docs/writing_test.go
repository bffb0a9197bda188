package docs

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// note writes a line; a hundred goroutines that call it share a few commits.
func note(ctx context.Context, p *pool.Pool, account string, amount int) error {
	_, err := p.Writer().Exec(ctx, "INSERT INTO log (account, amount) VALUES (?, ?)", account, amount)
	return err
}

// deposit changes a balance and writes it down, or neither.
func deposit(ctx context.Context, p *pool.Pool, account string, amount int, deposited func()) error {
	return p.Batch(ctx, func(ctx context.Context, tx *pool.Tx) error {
		tx.AfterCommit(deposited) // once, however often this function runs
		if _, err := tx.Exec(ctx, "INSERT INTO log (account, amount) VALUES (?, ?)", account, amount); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance + ? WHERE name = ?", amount, account)
		return err
	})
}

// whileAllWait holds the write lane until so many callers wait for it, and returns how
// many commits they needed.
func whileAllWait(t *testing.T, p *pool.Pool, callers int, call func(i int)) (commits uint64) {
	t.Helper()
	before := p.Stats()
	var wg sync.WaitGroup
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(context.Context, *pool.Tx) error {
		for i := range callers {
			wg.Go(func() { call(i) })
		}
		for p.Stats().WriteQueue < callers && t.Context().Err() == nil {
			p.Reader().QueryRow(t.Context(), "SELECT 1")
		}
		return nil
	}))
	wg.Wait()
	return p.Stats().Committed - before.Committed - 1
}

func TestWritersAndBatchesShareCommitsAndTransactionsDoNot(t *testing.T) {
	p := open(t, pooltest.File())
	const callers = 50
	require.Less(t, whileAllWait(t, p, callers, func(int) { assert.NoError(t, note(t.Context(), p, "ann", 1)) }), uint64(callers/2))

	var told atomic.Int32
	require.Less(t, whileAllWait(t, p, callers, func(i int) {
		account, want := "bob", error(nil)
		if i == 7 {
			account, want = "nobody", dberr.ErrForeignKey
		}
		assert.Equal(t, want, dberr.Kind(deposit(t.Context(), p, account, 1, func() { told.Add(1) })))
	}), uint64(callers/2))
	require.EqualValues(t, callers-1, told.Load(), "the one that failed undid its own work alone")
	require.Equal(t, callers-1, balance(t, p, "bob"))

	require.EqualValues(t, callers, whileAllWait(t, p, callers, func(int) {
		assert.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error { return put(ctx, tx, "ann", 1) }))
	}))
	require.Equal(t, 10+callers, balance(t, p, "ann"))
}

func TestTheWriterReturnsRows(t *testing.T) {
	p := open(t)
	var id int
	require.NoError(t, p.Writer().QueryRow(t.Context(), "INSERT INTO log (account, amount) VALUES ('ann', 1) RETURNING id").Scan(&id))
	require.Equal(t, 1, id)
}

// load writes many rows, a thousand to a transaction. What it has loaded stays when it fails.
func load(ctx context.Context, p *pool.Pool, account string, amounts []int) (loaded int, err error) {
	for part := range slices.Chunk(amounts, 1000) {
		err := p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			for _, amount := range part {
				if _, err := tx.Exec(ctx, "INSERT INTO log (account, amount) VALUES (?, ?)", account, amount); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return loaded, err
		}
		loaded += len(part)
	}
	return loaded, nil
}

func TestManyRowsAreLoadedAThousandAtATime(t *testing.T) {
	p := open(t)
	before := p.Stats().Committed
	n, err := load(t.Context(), p, "ann", make([]int, 2500))
	require.NoError(t, err)
	require.Equal(t, 2500, n)
	require.Equal(t, 2500, number(t, p, "SELECT count(*) FROM log"))
	require.EqualValues(t, 3, p.Stats().Committed-before)

	pooltest.Fail(t, p, pooltest.DiskFull)
	n, err = load(t.Context(), p, "ann", make([]int, 100_000))
	require.True(t, pool.IsFull(err), err)
	pooltest.Heal(t, p)
	require.Zero(t, n%1000)
	require.Equal(t, 2500+n, number(t, p, "SELECT count(*) FROM log"))
}
