package pool

import (
	"context"
	"database/sql/driver"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNothingCommitsBehindALostTransaction takes the transaction away below
// everything that notices, to see that the guard's second line holds.
func TestNothingCommitsBehindALostTransaction(t *testing.T) {
	p, err := Open(t.Context(), Config{Path: Memory})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	below := func(c *conn, query string) error {
		s, err := c.db.Driver().Prepare(query)
		require.NoError(t, err)
		defer s.Close()
		_, err = s.(driver.StmtExecContext).ExecContext(context.Background(), nil)
		return err
	}
	require.NoError(t, p.Batch(t.Context(), func(ctx context.Context, tx *Tx) error {
		_, err := tx.ExecContext(ctx, "CREATE TABLE n (id INTEGER PRIMARY KEY)")
		return err
	}))
	err = p.InTx(t.Context(), Immediate, func(ctx context.Context, tx *Tx) error {
		require.NoError(t, below(tx.conn, "ROLLBACK"))
		require.ErrorContains(t, below(tx.conn, "INSERT INTO n VALUES (1)"), "constraint", "the commit hook's veto")
		_, err := tx.ExecContext(ctx, "INSERT INTO n VALUES (2)")
		require.ErrorIs(t, err, ErrTxLost)
		return nil
	})
	require.ErrorIs(t, err, ErrTxLost)
	require.NoError(t, p.View(t.Context(), func(ctx context.Context, tx *Tx) error {
		var n int
		require.NoError(t, tx.QueryRowContext(ctx, "SELECT count(*) FROM n").Scan(&n))
		require.Zero(t, n)
		return nil
	}))
}

func TestWhatFailsBesideTheCallersIsLogged(t *testing.T) {
	var log strings.Builder
	p := &Pool{databaseFile: databaseFile{path: "app.db"}, cfg: Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}}
	p.warn("it failed", nil)
	require.Empty(t, log.String())
	p.warn("it failed", ErrMoved)
	require.Contains(t, log.String(), "path=app.db")
	require.Contains(t, log.String(), ErrMoved.Error())
}
