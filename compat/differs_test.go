package compat

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// TestWhatDiffersOnPurpose is the table of docs/database-sql.md.
func TestWhatDiffersOnPurpose(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(ctx context.Context, db *sql.DB) error
		want error // through the pool; alone there is none
	}{
		"a read-only transaction writes": {func(ctx context.Context, db *sql.DB) error {
			return inTx(ctx, db, &sql.TxOptions{ReadOnly: true}, "DELETE FROM child")
		}, pool.ErrReadOnly},
		"an isolation level": {func(ctx context.Context, db *sql.DB) error {
			return inTx(ctx, db, &sql.TxOptions{Isolation: sql.LevelReadCommitted}, "DELETE FROM child")
		}, pool.ErrConfig},
		"a PRAGMA that a transaction ignores": {func(ctx context.Context, db *sql.DB) error {
			return inTx(ctx, db, nil, "PRAGMA foreign_keys = off")
		}, errors.ErrUnsupported},
		"a PRAGMA that says what is so": {func(ctx context.Context, db *sql.DB) error {
			return inTx(ctx, db, nil, "PRAGMA foreign_keys = on")
		}, nil},
		"the journal mode": {exec("PRAGMA journal_mode = persist"), pool.ErrConfig},
		"the locking mode": {exec("PRAGMA locking_mode = exclusive"), pool.ErrConfig},
		"COMMIT as text in a transaction": {func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }()
			_, err = tx.ExecContext(ctx, "COMMIT")
			return err
		}, pool.ErrTxControl},
		"savepoints as text in a transaction": {func(ctx context.Context, db *sql.DB) error {
			return inTx(ctx, db, nil, "SAVEPOINT a; DELETE FROM child; ROLLBACK TO a; RELEASE a")
		}, nil},
		"several statements": {exec("INSERT INTO parent VALUES (3, 'c'); INSERT INTO child VALUES (3)"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			beside(t, func(t *testing.T, db *sql.DB, control bool) {
				require.NoError(t, exec(family)(t.Context(), db))
				err := c.do(t.Context(), db)
				if control {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, c.want)
				}
			})
		})
	}
}

func exec(query string, args ...any) func(ctx context.Context, db *sql.DB) error {
	return func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, query, args...)
		return err
	}
}

func inTx(ctx context.Context, db *sql.DB, opts *sql.TxOptions, query string) error {
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, query); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func TestArgumentsAreCountedAndTimesAreTextThatSorts(t *testing.T) {
	beside(t, func(t *testing.T, db *sql.DB, control bool) {
		for query, args := range map[string][]any{
			"SELECT ?":            {1, 2},
			"SELECT :a":           {sql.Named("a", 1), sql.Named("b", 2)},
			"SELECT ?; SELECT ?":  {1, 2, 3},
			"SELECT 1; SELECT :a": {sql.Named("a", 1), sql.Named("b", 2)},
		} {
			err := exec(query, args...)(t.Context(), db)
			require.Equal(t, control, err == nil, "%s: %v", query, err)
		}
		var text string
		at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT ?", at).Scan(&text))
		require.Equal(t, !control, text == "2026-01-02 02:04:05.000000006+00:00", text)
	})
}

func TestTwoWritersAreLockedOutOnTheDriverAloneAndNotHere(t *testing.T) {
	beside(t, func(t *testing.T, db *sql.DB, control bool) {
		require.NoError(t, exec(family)(t.Context(), db))
		first, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		requireChildren(t, first)
		second := make(chan error, 1)
		go func() {
			tx, err := db.BeginTx(t.Context(), nil) // waits for its turn here
			if err == nil {
				_, err = tx.ExecContext(t.Context(), "UPDATE parent SET v = 'c'")
				err = errors.Join(err, tx.Commit())
			}
			second <- err
		}()
		if control {
			require.NoError(t, <-second)
		}
		_, err = first.ExecContext(t.Context(), "UPDATE parent SET v = 'd'")
		if control {
			require.ErrorContains(t, err, "database is locked")
			require.NoError(t, first.Rollback())
			return
		}
		require.NoError(t, err)
		require.NoError(t, first.Commit())
		require.NoError(t, <-second)
	})
}

func requireChildren(t *testing.T, tx *sql.Tx) {
	t.Helper()
	var n int
	require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT count(*) FROM child").Scan(&n))
	require.Equal(t, 2, n)
}
