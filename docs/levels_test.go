package docs

import (
	"context"
	"errors"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errTooLittle = errors.New("there is too little in the account")

// transfer moves money, or says that there is too little.
func transfer(ctx context.Context, p *pool.Pool, from, to string, amount int) error {
	return p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		var balance int
		if err := tx.QueryRow(ctx, "SELECT balance FROM accounts WHERE name = ?", from).Scan(&balance); err != nil {
			return err
		}
		if balance < amount {
			return errTooLittle // InTx rolls back and returns it unchanged
		}
		if _, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance - ? WHERE name = ?", amount, from); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance + ? WHERE name = ?", amount, to)
		return err
	})
}

func TestWhatAnImmediateTransactionHasReadIsStillSoWhenItWrites(t *testing.T) {
	p := open(t, pooltest.File())
	done := make(chan error)
	for range 20 {
		go func() { done <- transfer(t.Context(), p, "ann", "bob", 1) }()
	}
	refused := 0
	for range 20 {
		if err := <-done; err != nil {
			assert.Equal(t, errTooLittle, err)
			refused++
		}
	}
	require.Equal(t, 10, refused)
	require.Zero(t, balance(t, p, "ann"))
	require.Equal(t, 10, balance(t, p, "bob"))
}

// sweep looks through all accounts and seldom finds one to close.
func sweep(ctx context.Context, p *pool.Pool) error {
	return p.InTx(ctx, pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		var empty []string // made in the function: it may run twice
		rows, err := tx.Query(ctx, "SELECT name FROM accounts WHERE balance = 0 AND name NOT IN (SELECT account FROM log)")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			empty = append(empty, name)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, name := range empty {
			if _, err := tx.Exec(ctx, "DELETE FROM accounts WHERE name = ?", name); err != nil {
				return err
			}
		}
		return nil
	}, pool.Repeatable())
}

func TestADeferredTransactionConflictsUnlessItMayRunAgain(t *testing.T) {
	p := open(t, pooltest.File())
	require.NoError(t, sweep(t.Context(), p))
	require.Equal(t, 1, number(t, p, "SELECT count(*) FROM accounts"))

	lose := func(runs *int, opts ...pool.TxOption) error {
		return p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
			*runs++
			var n int
			if err := tx.QueryRow(ctx, "SELECT balance FROM accounts WHERE name = 'ann'").Scan(&n); err != nil {
				return err
			}
			if *runs == 1 { // meanwhile somebody else commits
				require.NoError(t, put(t.Context(), p.Writer(), "ann", 1))
			}
			return put(ctx, tx, "ann", 100)
		}, opts...)
	}
	var runs int
	require.ErrorIs(t, lose(&runs), pool.ErrConflict)
	require.Equal(t, 1, runs)
	runs = 0
	require.NoError(t, lose(&runs, pool.Repeatable()))
	require.Equal(t, 2, runs)
	require.Equal(t, 112, balance(t, p, "ann"))

	require.NoError(t, p.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		return put(ctx, tx, "ann", 1) // writes first
	}))
}

// balances are those of one moment, and their sum is right.
func balances(ctx context.Context, p *pool.Pool) (ann, all int, err error) {
	err = p.View(ctx, func(ctx context.Context, tx *pool.Tx) error {
		if err := tx.QueryRow(ctx, "SELECT balance FROM accounts WHERE name = 'ann'").Scan(&ann); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT sum(balance) FROM accounts").Scan(&all)
	})
	return ann, all, err
}

func TestAViewIsOneMomentAndCannotWrite(t *testing.T) {
	p := open(t, pooltest.File())
	done := make(chan error)
	go func() {
		var err error
		for range 10 {
			err = errors.Join(err, transfer(t.Context(), p, "ann", "bob", 1))
		}
		done <- err
	}()
	for range 20 {
		_, all, err := balances(t.Context(), p)
		require.NoError(t, err)
		require.Equal(t, 10, all)
	}
	require.NoError(t, <-done)
	require.ErrorIs(t, p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error { return put(ctx, tx, "ann", 1) }), pool.ErrReadOnly)
}

func TestAnInnerTransactionIsASavepointAndNotStronger(t *testing.T) {
	p := open(t)
	failed := errors.New("failed")
	require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		require.NoError(t, put(ctx, tx, "ann", 1))
		require.Equal(t, failed, p.InTx(ctx, pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
			require.NoError(t, put(ctx, tx, "bob", 1))
			return failed
		}))
		require.ErrorIs(t, p.InTx(ctx, pool.Exclusive, func(context.Context, *pool.Tx) error { return nil }), pool.ErrNestedLevel)
		return nil
	}))
	require.Equal(t, 11, balance(t, p, "ann"))
	require.Zero(t, balance(t, p, "bob"))

	tx, err := p.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	require.NoError(t, put(t.Context(), tx, "bob", 1))
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, 1, balance(t, p, "bob"))
}
