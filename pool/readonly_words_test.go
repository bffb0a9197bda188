package pool_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestAWriteWhereNoneIsAllowedSaysWhatToUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	p := open(t, pool.Config{Path: path})
	reading, err := pool.Open(t.Context(), pool.Config{Path: path, ReadOnly: true})
	require.NoError(t, err)
	defer reading.Close()
	insert := doing("INSERT INTO n VALUES (2, 2)")
	onDB := func(opts *sql.TxOptions) error {
		tx, err := reading.DB().BeginTx(t.Context(), opts)
		if err == nil {
			err = tx.Rollback()
		}
		return err
	}
	for says, errs := range map[string][]error{
		"use InTx, Batch or Writer": {
			p.View(t.Context(), insert),
			p.Reader().QueryRow(t.Context(), "INSERT INTO n VALUES (2, 2) RETURNING id").Scan(new(int)),
		},
		"the pool is opened with ReadOnly or Immutable; open one without, or use View": {
			reading.InTx(t.Context(), pool.Immediate, insert),
			reading.InTx(t.Context(), pool.Deferred, insert),
			reading.Batch(t.Context(), insert),
			onDB(nil),
		},
	} {
		for _, err := range errs {
			require.ErrorIs(t, err, pool.ErrReadOnly)
			require.ErrorContains(t, err, says)
		}
	}
	require.ErrorContains(t, onDB(nil), "or set sql.TxOptions.ReadOnly")
	require.NoError(t, onDB(&sql.TxOptions{ReadOnly: true}))
}
