package compat

import (
	"database/sql"
	"sync"
	"testing"
	"time"

	"github.com/pocketbase/dbx"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// PocketBase calls its DBConnect twice for a file, and keeps one handle for
// reading, with many connections, and one for writing, with one.
func TestPocketBaseReadsByOneHandleAndWritesByAnother(t *testing.T) {
	besidePeople(t, func(t *testing.T, p *pool.Pool, db *sql.DB) {
		connect := func() *dbx.DB {
			if p == nil {
				return dbx.NewFromDB(aloneAt(t, fileOf(t, db)), "sqlite")
			}
			return dbx.NewFromDB(sql.OpenDB(p.Connector()), "sqlite")
		}
		reading, writing := connect(), connect()
		reading.DB().SetMaxOpenConns(120)
		reading.DB().SetMaxIdleConns(15)
		reading.DB().SetConnMaxIdleTime(3 * time.Minute)
		writing.DB().SetMaxOpenConns(1)
		writing.DB().SetMaxIdleConns(1)

		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				for range 10 {
					assert.NoError(t, writing.Transactional(func(tx *dbx.Tx) error {
						_, err := tx.Update("people", dbx.Params{"age": dbx.NewExp("age + 1")}, dbx.HashExp{"name": "Ada"}).Execute()
						return err
					}))
					var all []person
					assert.NoError(t, reading.Select("*").From("people").Where(dbx.HashExp{"nickname": nil}).All(&all))
					assert.Len(t, all, 2)
				}
			})
		}
		wg.Wait()
		var age int
		require.NoError(t, reading.NewQuery("SELECT age FROM people WHERE name = {:name}").Bind(dbx.Params{"name": "Ada"}).Row(&age))
		require.Equal(t, 136, age)
		for _, chore := range []string{"PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA optimize", "VACUUM"} {
			_, err := writing.NewQuery(chore).Execute()
			require.NoError(t, err, chore)
		}

		require.NoError(t, writing.Close())
		require.NoError(t, reading.NewQuery("SELECT count(*) FROM people").Row(&age), "the other goes on")
		require.NoError(t, reading.Close())
		requireNames(t, db, "Ada", "Grace", "Edsger")
	})
}

// fileOf is the file of a *sql.DB's database.
func fileOf(t *testing.T, db *sql.DB) (file string) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&file))
	return file
}
