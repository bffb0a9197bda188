package pool_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheJournalModeThatIsSetMayBeSetWhereNothingMayBeWritten(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		other := map[string]string{"wal": "delete", "delete": "wal"}[mode]
		for _, conns := range []int{1, 3} {
			path := filepath.Join(t.TempDir(), "app.db")
			writer := open(t, pool.Config{Path: path, JournalMode: pool.JournalMode(mode)})
			reader, err := pool.Open(t.Context(), pool.Config{Path: path, ReadOnly: true, MaxConns: conns})
			require.NoError(t, err)
			answers := func(on dbtx) {
				var got string
				assert.NoError(t, on.QueryRowContext(t.Context(), "PRAGMA journal_mode = "+mode).Scan(&got))
				assert.Equal(t, mode, got)
				assert.NoError(t, do(t.Context(), on, "PRAGMA main.journal_mode="+mode))
				assert.Error(t, do(t.Context(), on, "PRAGMA journal_mode = "+other))
			}
			for _, p := range []*pool.Pool{reader, writer} {
				require.NoError(t, p.View(t.Context(), func(_ context.Context, tx *pool.Tx) error {
					answers(tx)
					return nil
				}))
				l := acquire(t, p)
				answers(l)
				l.Release()
				answers(p.DB())
				tx, err := p.DB().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
				require.NoError(t, err)
				answers(tx)
				require.NoError(t, tx.Commit())
			}
			require.NoError(t, reader.Close())
			requireAtRest(t, writer)
		}
	}
}
