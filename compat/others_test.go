package compat

import (
	"context"
	"database/sql"
	"testing"

	"github.com/Masterminds/squirrel"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
)

func TestSquirrelBuildsQueriesAndKeepsThemPrepared(t *testing.T) {
	besidePeople(t, func(t *testing.T, _ *pool.Pool, db *sql.DB) {
		cache := squirrel.NewStmtCache(db)
		build := squirrel.StatementBuilder.RunWith(cache)
		for range 3 {
			var age int
			require.NoError(t, build.Select("age").From("people").Where(squirrel.Eq{"name": "Grace"}).Scan(&age))
			require.Equal(t, 85, age)
		}
		_, err := build.Insert("people").Columns("name", "age").Values("Barbara", 84).Values("Tony", 90).Exec()
		require.NoError(t, err)
		rows, err := build.Select("name").From("people").Where(squirrel.Gt{"age": 84}).OrderBy("age").Query()
		require.NoError(t, err)
		var names []string
		for rows.Next() {
			var name string
			require.NoError(t, rows.Scan(&name))
			names = append(names, name)
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
		require.Equal(t, []string{"Grace", "Tony"}, names)

		tx, err := db.Begin()
		require.NoError(t, err)
		_, err = squirrel.Delete("people").Where("age > ?", 40).RunWith(tx).ExecContext(t.Context())
		require.NoError(t, err)
		require.NoError(t, tx.Rollback())
		_, err = squirrel.Update("people").Set("age", squirrel.Expr("age + 1")).Where(squirrel.Eq{"id": []int{1, 2}}).RunWith(db).Exec()
		require.NoError(t, err)
		require.NoError(t, cache.Clear())
		requireNames(t, db, "Ada", "Grace", "Edsger", "Barbara", "Tony")
	})
}

// bunPerson is a row for bun.
type bunPerson struct {
	bun.BaseModel `bun:"table:people,alias:p"`
	ID            int64 `bun:",pk,autoincrement"`
	Name          string
	Age           int
	Nickname      *string
}

func TestBunMapsObjectsAndNestsTransactions(t *testing.T) {
	besidePeople(t, func(t *testing.T, _ *pool.Pool, plain *sql.DB) {
		ctx := t.Context()
		db := bun.NewDB(plain, sqlitedialect.New())
		barbara := &bunPerson{Name: "Barbara", Age: 84}
		_, err := db.NewInsert().Model(barbara).Exec(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 4, barbara.ID, "which RETURNING brought")

		var old []bunPerson
		require.NoError(t, db.NewSelect().Model(&old).Where("age > ?", 80).Order("age").Scan(ctx))
		require.Len(t, old, 2)
		require.Equal(t, "Barbara", old[0].Name)
		n, err := db.NewSelect().Model((*bunPerson)(nil)).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 4, n)

		barbara.Age++
		_, err = db.NewUpdate().Model(barbara).WherePK().Exec(ctx)
		require.NoError(t, err)
		err = db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.NewDelete().Model(barbara).WherePK().Exec(ctx)
			require.NoError(t, err)
			return sql.ErrNoRows
		})
		require.ErrorIs(t, err, sql.ErrNoRows)

		require.NoError(t, db.RunInTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable}, func(ctx context.Context, tx bun.Tx) error {
			if _, err := tx.NewInsert().Model(&bunPerson{Name: "Tony", Age: 90}).Exec(ctx); err != nil {
				return err
			}
			err := tx.RunInTx(ctx, nil, func(ctx context.Context, inner bun.Tx) error { // a savepoint
				_, err := inner.NewDelete().Model((*bunPerson)(nil)).Where("1 = 1").Exec(ctx)
				require.NoError(t, err)
				return sql.ErrNoRows
			})
			require.ErrorIs(t, err, sql.ErrNoRows)
			return nil
		}))
		require.NoError(t, db.NewSelect().Model(barbara).WherePK().Scan(ctx))
		require.Equal(t, 85, barbara.Age)
		_, err = db.NewCreateTable().Model((*bunPerson)(nil)).ModelTableExpr("others").Exec(ctx)
		require.NoError(t, err)
		requireNames(t, plain, "Ada", "Grace", "Edsger", "Barbara", "Tony")
	})
}
