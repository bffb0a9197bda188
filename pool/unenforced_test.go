package pool_test

import (
	"errors"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestARebuildThatBringsBothForeignKeysPragmasAlongRunsWhereTheyAreOff(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		run(t, p, family)
		for _, begin := range []bool{true, false} {
			require.NoError(t, do(t.Context(), p.DB(), "PRAGMA foreign_keys = off"))
			conn := sqldbConn(t, p.DB())
			var on dbtx = conn
			end := func() error { return do(t.Context(), conn, "COMMIT") }
			if begin {
				tx, err := conn.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				on, end = tx, tx.Commit
			} else {
				require.NoError(t, do(t.Context(), conn, "BEGIN"))
			}
			for _, query := range rebuild {
				require.NoError(t, do(t.Context(), on, query), query)
			}
			require.NoError(t, do(t.Context(), on, "PRAGMA foreign_keys"))
			require.NoError(t, end())
			require.NoError(t, conn.Close())
			require.NoError(t, do(t.Context(), p.DB(), "PRAGMA foreign_keys = on"))
			require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM kid"))
			requireAtRest(t, p)
		}
	})
}

func TestForeignKeysAreNotSwitchedOnByATransactionThatDidNotSayOff(t *testing.T) {
	p := open(t, pool.Config{})
	require.NoError(t, do(t.Context(), p.DB(), "PRAGMA foreign_keys = off"))
	conn := sqldbConn(t, p.DB())
	said := func(on dbtx) { require.NoError(t, do(t.Context(), on, "PRAGMA foreign_keys = off")) }
	refused := func(on dbtx) {
		require.ErrorIs(t, do(t.Context(), on, "PRAGMA foreign_keys = on"), errors.ErrUnsupported)
	}
	for range 2 {
		tx, err := conn.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		refused(tx)
		said(tx)
		require.NoError(t, tx.Commit())
		for _, end := range []string{"COMMIT", "ROLLBACK"} {
			require.NoError(t, do(t.Context(), conn, "BEGIN"))
			refused(conn)
			said(conn)
			require.NoError(t, do(t.Context(), conn, end))
		}
	}
	require.NoError(t, conn.Close())
	require.NoError(t, do(t.Context(), p.DB(), "PRAGMA foreign_keys = on"))
	requireAtRest(t, p)
}

func TestATransactionThatCouldNotSwitchForeignKeysOffDropsNoTable(t *testing.T) {
	sqldbEverywhere(t, func(t *testing.T, p *pool.Pool) {
		run(t, p, family)
		tx, err := p.DB().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.ErrorIs(t, do(t.Context(), tx, "PRAGMA foreign_keys=OFF"), errors.ErrUnsupported) // a client may log this, and go on
		err = do(t.Context(), tx, "DROP TABLE mother")
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.ErrorContains(t, err, "roll it back")
		require.NoError(t, do(t.Context(), tx, "CREATE TEMP TABLE own (x); DROP TABLE own; SELECT * FROM mother"), "nothing else is refused")
		require.NoError(t, tx.Commit())
		require.EqualValues(t, 2, get(t, p, "SELECT count(*) FROM kid"))

		require.NoError(t, p.InTx(t.Context(), pool.Immediate, doing("DROP TABLE mother")), "the next transaction has said nothing")
		conn := sqldbConn(t, p.DB())
		require.NoError(t, do(t.Context(), conn, "BEGIN"))
		require.Error(t, do(t.Context(), conn, "PRAGMA foreign_keys=OFF"))
		require.NoError(t, do(t.Context(), conn, "ROLLBACK"))
		require.NoError(t, do(t.Context(), conn, "DROP TABLE kid"))
		require.NoError(t, conn.Close())
		requireAtRest(t, p)
	})
}
