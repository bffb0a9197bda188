package compat

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sqlxEverywhere hands the pool's face to sqlx, under the driver's name, by
// which that knows how arguments are marked; and beside it the driver's own, where p
// is nil.
func sqlxEverywhere(t *testing.T, test func(t *testing.T, p *pool.Pool, db *sqlx.DB)) {
	besidePeople(t, func(t *testing.T, p *pool.Pool, db *sql.DB) { test(t, p, sqlx.NewDb(db, "sqlite")) })
}

// inUse is how many leases a *sql.DB has, or connections on the driver alone.
func inUse(p *pool.Pool, db *sqlx.DB) int {
	if p == nil {
		return db.Stats().InUse
	}
	return p.Stats().InUse
}

func TestSqlxReadsRowsIntoStructs(t *testing.T) {
	sqlxEverywhere(t, func(t *testing.T, _ *pool.Pool, db *sqlx.DB) {
		var one person
		require.NoError(t, db.Get(&one, "SELECT * FROM people WHERE name = ?", "Grace"))
		require.Equal(t, "Amazing Grace", *one.Nickname)
		require.Equal(t, 85, one.Age)
		require.ErrorIs(t, db.Get(&one, "SELECT * FROM people WHERE name = ?", "nobody"), sql.ErrNoRows)

		var all []person
		require.NoError(t, db.Select(&all, "SELECT * FROM people WHERE age > ? ORDER BY age", 50))
		require.Len(t, all, 2)
		require.Equal(t, "Edsger", all[0].Name)
		require.Nil(t, all[0].Nickname)

		var ages []int
		require.NoError(t, db.SelectContext(t.Context(), &ages, "SELECT age FROM people ORDER BY age"))
		require.Equal(t, []int{36, 72, 85}, ages)
		require.ErrorContains(t, db.Select(&ages, "SELECT age FROM nobody"), "no such table")
		require.ErrorContains(t, db.Get(&one, "SELECT 1 AS unknown"), "missing destination name")

		row := make(map[string]any)
		require.NoError(t, db.QueryRowx("SELECT id, name FROM people ORDER BY id").MapScan(row))
		require.Equal(t, map[string]any{"id": int64(1), "name": "Ada"}, row)
		cells, err := db.QueryRowx("SELECT 1, 'two', NULL, 4.5, x'05'").SliceScan()
		require.NoError(t, err)
		require.Equal(t, []any{int64(1), "two", nil, 4.5, []byte{5}}, cells)
	})
}

func TestSqlxScansRowByRowWhileOthersAreRead(t *testing.T) {
	sqlxEverywhere(t, func(t *testing.T, p *pool.Pool, db *sqlx.DB) {
		tx, err := db.Beginx() // one connection for both
		require.NoError(t, err)
		rows, err := tx.Queryx("SELECT * FROM people ORDER BY id")
		require.NoError(t, err)
		var names []string
		for rows.Next() {
			var one person
			require.NoError(t, rows.StructScan(&one))
			var again string
			require.NoError(t, tx.Get(&again, "SELECT name FROM people WHERE id = ?", one.ID))
			require.Equal(t, one.Name, again)
			names = append(names, one.Name)
		}
		require.NoError(t, rows.Err())
		require.Equal(t, []string{"Ada", "Grace", "Edsger"}, names)
		require.NoError(t, tx.Commit())
		requireNames(t, db.DB, names...)
	})
}

func TestSqlxNamesItsArguments(t *testing.T) {
	sqlxEverywhere(t, func(t *testing.T, p *pool.Pool, db *sqlx.DB) {
		res, err := db.NamedExec("INSERT INTO people (name, age) VALUES (:name, :age)", person{Name: "Barbara", Age: 84})
		require.NoError(t, err)
		id, err := res.LastInsertId()
		require.NoError(t, err)
		require.EqualValues(t, 4, id)
		res, err = db.NamedExec("INSERT INTO people (name, age) VALUES (:name, :age)", []person{{Name: "Tony", Age: 90}, {Name: "Donald", Age: 86}})
		require.NoError(t, err)
		n, err := res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 2, n, "a list is one statement")
		_, err = db.NamedExec("INSERT INTO people (name, age) VALUES (:name, :age)", map[string]any{"name": "Ada", "age": 1})
		require.Equal(t, dberr.ErrDuplicate, dberr.Kind(err), "%v", err)

		stmt, err := db.PrepareNamed("SELECT * FROM people WHERE name = :name")
		require.NoError(t, err)
		var one person
		require.NoError(t, stmt.Get(&one, map[string]any{"name": "Tony"}))
		require.Equal(t, 90, one.Age)
		require.NoError(t, stmt.Close())
		rows, err := db.NamedQuery("SELECT * FROM people WHERE age > :age", person{Age: 85})
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.NoError(t, rows.StructScan(&one))
		require.NoError(t, rows.Close())
		requireNames(t, db.DB, "Ada", "Grace", "Edsger", "Barbara", "Tony", "Donald")
	})
}

func TestSqlxPreparesOnceAndRunsOften(t *testing.T) {
	sqlxEverywhere(t, func(t *testing.T, p *pool.Pool, db *sqlx.DB) {
		add, err := db.Preparex("INSERT INTO people (name, age) VALUES (?, ?)")
		require.NoError(t, err)
		find, err := db.Preparex("SELECT * FROM people WHERE name = ?")
		require.NoError(t, err)
		for i := range 10 {
			add.MustExec(fmt.Sprint("p", i), i)
			var one person
			require.NoError(t, find.Get(&one, fmt.Sprint("p", i)))
			require.Equal(t, i, one.Age)
		}
		require.Zero(t, inUse(p, db), "a statement holds no lease")

		tx := db.MustBegin()
		tx.Stmtx(add).MustExec("undone", 1)
		require.NoError(t, tx.Rollback())
		var one person
		require.ErrorIs(t, find.Get(&one, "undone"), sql.ErrNoRows)
		require.NoError(t, add.Close())
		require.NoError(t, find.Close())
		require.Panics(t, func() { db.MustExec("INSERT INTO people (name, age) VALUES ('Nobody', -1)") })
	})
}

func TestSqlxFillsInLists(t *testing.T) {
	sqlxEverywhere(t, func(t *testing.T, _ *pool.Pool, db *sqlx.DB) {
		query, args, err := sqlx.In("SELECT name FROM people WHERE age IN (?) AND id > ? ORDER BY id", []int{36, 72, 85}, 1)
		require.NoError(t, err)
		require.Equal(t, query, db.Rebind(query), "arguments are marked as SQLite reads them")
		var names []string
		require.NoError(t, db.Select(&names, db.Rebind(query), args...))
		require.Equal(t, []string{"Grace", "Edsger"}, names)
	})
}

func TestSqlxTransactionsCommitOrRollBack(t *testing.T) {
	sqlxEverywhere(t, func(t *testing.T, p *pool.Pool, db *sqlx.DB) {
		tx, err := db.BeginTxx(t.Context(), nil)
		require.NoError(t, err)
		tx.MustExec("DELETE FROM people WHERE name = 'Ada'")
		_, err = tx.NamedExec("INSERT INTO people (name, age) VALUES (:name, :age)", person{Name: "Barbara", Age: 84})
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		require.ErrorIs(t, tx.Commit(), sql.ErrTxDone)
		requireNames(t, db.DB, "Grace", "Edsger", "Barbara")

		tx = db.MustBegin()
		tx.MustExec("DELETE FROM people")
		require.NoError(t, tx.Rollback())
		requireNames(t, db.DB, "Grace", "Edsger", "Barbara")

		tx, err = db.BeginTxx(t.Context(), &sql.TxOptions{ReadOnly: true})
		require.NoError(t, err)
		_, err = tx.Exec("DELETE FROM people")
		if p != nil { // the driver alone lets it
			require.ErrorIs(t, err, pool.ErrReadOnly)
		}
		require.NoError(t, tx.Rollback())

		conn, err := db.Connx(t.Context())
		require.NoError(t, err)
		tx, err = conn.BeginTxx(t.Context(), nil)
		require.NoError(t, err)
		tx.MustExec("UPDATE people SET age = age + 1")
		require.NoError(t, tx.Commit())
		var age int
		require.NoError(t, conn.GetContext(t.Context(), &age, "SELECT age FROM people WHERE name = 'Grace'"))
		require.Equal(t, 86, age)
		require.NoError(t, conn.Close())
	})
}

func TestSqlxRowsLeftOpenHoldALeaseUntilTheirContextEnds(t *testing.T) {
	sqlxEverywhere(t, func(t *testing.T, p *pool.Pool, db *sqlx.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		rows, err := db.QueryxContext(ctx, "SELECT * FROM people")
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.Equal(t, 1, inUse(p, db))
		cancel()
		waitFor(t, "the lease comes back", func() bool { return inUse(p, db) == 0 })
		require.False(t, rows.Next())
		require.ErrorIs(t, rows.Err(), context.Canceled)

		tx := db.MustBegin()
		rows, err = tx.Queryx("SELECT * FROM people")
		require.NoError(t, err)
		require.True(t, rows.Next())
		tx.MustExec("DELETE FROM people WHERE name = 'Ada'")
		require.NoError(t, tx.Commit(), "it closes them")
		require.False(t, rows.Next())
		requireNames(t, db.DB, "Grace", "Edsger")
	})
}

func TestSqlxIsCancelledInTheMidstOfAStatement(t *testing.T) {
	sqlxEverywhere(t, func(t *testing.T, p *pool.Pool, db *sqlx.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			var n int
			assert.ErrorIs(t, db.GetContext(ctx, &n, endless), context.Canceled)
		})
		waitFor(t, "it runs", func() bool { return inUse(p, db) == 1 })
		cancel()
		wg.Wait()

		ctx, cancel = context.WithCancel(t.Context())
		tx, err := db.BeginTxx(ctx, nil)
		require.NoError(t, err)
		tx.MustExec("DELETE FROM people")
		cancel()
		waitFor(t, "the transaction is rolled back", func() bool { return inUse(p, db) == 0 })
		require.Error(t, tx.Commit())
		requireNames(t, db.DB, "Ada", "Grace", "Edsger")
	})
}

func TestSqlxFromManyGoroutinesIsNeverBusy(t *testing.T) {
	sqlxEverywhere(t, func(t *testing.T, p *pool.Pool, db *sqlx.DB) {
		if p == nil {
			db.SetMaxOpenConns(1) // or it may be
		}
		var wg sync.WaitGroup
		for g := range 10 {
			wg.Go(func() {
				for i := range 5 {
					tx, err := db.Beginx()
					if !assert.NoError(t, err) {
						return
					}
					_, err = tx.NamedExec("INSERT INTO people (name, age) VALUES (:name, :age)", person{Name: fmt.Sprint(g, "/", i), Age: g})
					assert.NoError(t, err)
					assert.NoError(t, tx.Commit())
					var all []person
					assert.NoError(t, db.Select(&all, "SELECT * FROM people"))
					_, err = db.Exec("UPDATE people SET age = age + 1 WHERE name = 'Ada'")
					assert.NoError(t, err)
				}
			})
		}
		wg.Wait()
		var n, age int
		require.NoError(t, db.QueryRow("SELECT count(*), (SELECT age FROM people WHERE name = 'Ada') FROM people").Scan(&n, &age))
		require.Equal(t, 53, n)
		require.Equal(t, 86, age)
	})
}
