package compat

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io/fs"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/golang-migrate/migrate/v4"
	migratesqlite "github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/sqlane/sqlane/internal/guides"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What docs/database-sql.md shows stands in this file and is run by its tests.

func TestTheGuideShowsWhatIsRunHere(t *testing.T) {
	guides.Shown(t, "../docs/database-sql.md", "guide_test.go")
}

func TestTheGuidesClientsWorkOnOnePool(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "app.db")
	files := fstest.MapFS{"00001_family.sql": {Data: []byte("-- +goose Up" + family)}}
	steps := fstest.MapFS{"1_rebuild.up.sql": {Data: []byte(rebuild)}}
	require.NoError(t, func() error {
		p, err := pool.Open(ctx, pool.Config{Path: path})
		if err != nil {
			return err
		}
		defer p.Close()
		return clients(ctx, p, files, steps)
	}())
}

func clients(ctx context.Context, p *pool.Pool, files, steps fs.FS) error {
	x := sqlx.NewDb(p.DB(), "sqlite")

	provider, err := goose.NewProvider(goose.DialectSQLite3, p.DB(), files)
	if err != nil {
		return err
	}
	if _, err = provider.Up(ctx); err != nil {
		return err
	}

	g, err := gorm.Open(gormsqlite.Dialector{Conn: p.DB()}, &gorm.Config{})
	if err != nil {
		return err
	}

	on, err := migratesqlite.WithInstance(p.DB(), &migratesqlite.Config{NoTxWrap: true})
	if err != nil {
		return err
	}

	queue := riversqlite.New(p.DB())

	from, err := iofs.New(steps, ".")
	if err != nil {
		return err
	}
	m, err := migrate.NewWithInstance("iofs", from, "sqlite", on)
	if err != nil {
		return err
	}
	if err := m.Up(); err != nil {
		return err
	}
	var n, children int
	if err := x.Get(&n, "SELECT count(*) FROM parent"); err != nil {
		return err
	}
	if err := g.Session(&gorm.Session{Logger: logger.Discard}).Raw("SELECT count(*) FROM child").Scan(&children).Error; err != nil {
		return err
	}
	if n != 2 || children != 2 || !queue.PoolIsSet() {
		return sql.ErrNoRows
	}
	return nil
}

// handles opens the pool twice: to read with many connections, to write with one.
func handles(p *pool.Pool) (reading, writing *sql.DB) {
	reading = sql.OpenDB(p.Connector())
	reading.SetMaxOpenConns(20)
	writing = sql.OpenDB(p.Connector())
	writing.SetMaxOpenConns(1)
	return reading, writing
}

func TestTheGuidesHandlesAreTwo(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pool.Pool) {
		reading, writing := handles(p)
		_, err := writing.ExecContext(t.Context(), "PRAGMA cache_size = 77")
		require.NoError(t, err)
		require.Equal(t, 77, number(t, writing, "PRAGMA cache_size"))
		require.NotEqual(t, 77, number(t, reading, "PRAGMA cache_size"))
		require.NotEqual(t, 77, number(t, p.DB(), "PRAGMA cache_size"))
		require.NoError(t, reading.Close())
		require.NoError(t, writing.Close())
	})
}

// the is a connector of the connection that is there.
type the struct{ conn driver.Conn }

func (t the) Connect(context.Context) (driver.Conn, error) { return t.conn, nil }
func (the) Driver() driver.Driver                          { return nil }

// limit sets one of SQLite's limits on the connection of a lease, until its Release.
func limit(ctx context.Context, l *pool.Lease, id, value int) error {
	return l.Raw(ctx, func(conn driver.Conn) error {
		db := sql.OpenDB(the{conn})
		c, err := db.Conn(ctx) // not to be closed: it is the pool's
		if err != nil {
			return err
		}
		if err := db.Close(); err != nil { // which leaves c alone
			return err
		}
		_, err = sqlite.Limit(c, id, value)
		return err
	})
}

func TestTheGuidesLimitHoldsUntilTheLeaseEnds(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pool.Pool) {
		const wide = "SELECT 1, 2, 3, 4, 5, 6"
		l, err := p.Acquire(t.Context())
		require.NoError(t, err)
		require.NoError(t, limit(t.Context(), l, sqlite3.SQLITE_LIMIT_COLUMN, 5))
		_, err = l.ExecContext(t.Context(), wide)
		require.ErrorContains(t, err, "too many columns")
		l.Release()
		_, err = p.DB().ExecContext(t.Context(), wide)
		require.NoError(t, err)

		conn, err := p.DB().Conn(t.Context())
		require.NoError(t, err)
		_, err = sqlite.Limit(conn, sqlite3.SQLITE_LIMIT_COLUMN, 5)
		require.ErrorContains(t, err, "unexpected driverConn type")
		require.NoError(t, conn.Close())
	})
}

func TestTheGuidesLoopDoesNotWaitForItself(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pool.Pool) {
		require.NoError(t, grow(t.Context(), p.DB()))
		require.Equal(t, 36+85+72+3, number(t, p.DB(), "SELECT sum(age) FROM people"))
	})
}

// grow makes everybody a year older, one by one.
func grow(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil) // IMMEDIATE: rows and writes on one connection
	if err != nil {
		return err
	}
	defer tx.Rollback()
	rows, err := tx.QueryContext(ctx, "SELECT id FROM people")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE people SET age = age + 1 WHERE id = ?", id); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return tx.Commit()
}

func TestALoopThatWritesBesideItsRowsIsToldWhoHoldsTheConnection(t *testing.T) {
	p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), MaxConns: 1, AcquireTimeout: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	rows, err := p.DB().QueryContext(t.Context(), "SELECT 1")
	require.NoError(t, err)
	_, err = p.DB().ExecContext(t.Context(), "CREATE TABLE x (a)")
	require.ErrorIs(t, err, pool.ErrAcquireTimeout)
	require.ErrorContains(t, err, "guide_test.go")
	require.NoError(t, rows.Close())
	require.NoError(t, p.Close())
}
