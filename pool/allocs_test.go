//go:build !race

package pool_test

import (
	"context"
	"io"
	"testing"

	"github.com/sqlane/sqlane/internal/request"
	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// The bounds are of what a statement allocates without database/sql, its caller's
// side included. One that is exceeded is a regression to be understood, not a number
// to be raised. The race detector allocates too.

const pointRead = "SELECT id, name, size FROM files WHERE id = ?"

// withFiles is a lease on a database with a thousand rows to read.
func withFiles(t testing.TB) (context.Context, *pool.Lease) {
	p := open(t, pool.Config{})
	run(t, p, "CREATE TABLE files (id INTEGER PRIMARY KEY, name TEXT, size INTEGER);"+
		"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x < 1000) INSERT INTO files SELECT x, 'the name of file ' || x, 1000*x FROM c")
	l := acquire(t, p)
	t.Cleanup(l.Release)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, l
}

// counted is how many allocations f makes.
func counted(t *testing.T, f func() error) float64 {
	t.Helper()
	return testing.AllocsPerRun(100, func() {
		if err := f(); err != nil {
			panic(err)
		}
	})
}

func TestARowAllocatesItsTextsAndLittleElse(t *testing.T) {
	byItself(t)
	ctx, l := withFiles(t)
	var id, size int64
	var name string
	require.LessOrEqual(t, counted(t, func() error {
		return l.QueryRow(ctx, pointRead, int64(1000)).Scan(&id, &name, &size)
	}), 3.0, "the row with its call, its text, and the caller's list of destinations; an argument that is no constant is one more")
	var a, b, c any
	require.LessOrEqual(t, counted(t, func() error {
		return l.QueryRow(ctx, pointRead, int64(1000)).Scan(&a, &b, &c)
	}), 6.0, "three values in any more")
}

func TestAThousandRowsAllocateTheirTextsAndTheirDestinations(t *testing.T) {
	byItself(t)
	ctx, l := withFiles(t)
	var id, size int64
	var name string
	read := func(query string) float64 {
		return counted(t, func() error {
			rows, err := l.Query(ctx, query)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				if err := rows.Scan(&id, &name, &size); err != nil {
					return err
				}
			}
			return rows.Err()
		})
	}
	require.LessOrEqual(t, read("SELECT id, name, size FROM files"), 2*1000.0+1, "two a row: its text, and the caller's list of destinations")
	require.LessOrEqual(t, read("SELECT id, name, size FROM files LIMIT 0"), 1.0, "the rows with their call")
	require.LessOrEqual(t, read("SELECT id, name, size, size FROM files LIMIT 0"), 1.0, "and with a row of four columns")
}

func TestAnExecAllocatesItsArgumentsACallAndAResult(t *testing.T) {
	byItself(t)
	ctx, l := withFiles(t)
	require.LessOrEqual(t, counted(t, func() error {
		_, err := l.Exec(ctx, "UPDATE files SET size = ? WHERE id = ?", int64(1000), int64(1000))
		return err
	}), 5.0, "the arguments, the result, and three that os.Stat makes of the file before a write")
	require.LessOrEqual(t, counted(t, func() error {
		_, err := l.Exec(ctx, "SELECT ?", int64(1000))
		return err
	}), 2.0, "the arguments, the result")
}

// withRequests is withFiles for requests, each on a connection of its own.
func withRequests(t testing.TB) (context.Context, *pool.Pool) {
	p := open(t, pool.Config{})
	run(t, p, "CREATE TABLE files (id INTEGER PRIMARY KEY, name TEXT, size INTEGER);"+
		"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x < 1000) INSERT INTO files SELECT x, 'the name of file ' || x, 1000*x FROM c")
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, p
}

func TestARequestAllocatesTheTextsOfItsRowAlone(t *testing.T) {
	byItself(t)
	ctx, p := withRequests(t)
	on := readers(p)
	r := requested("SELECT id, size FROM files WHERE id = ?", sqlite.IntegerOf(500))
	one := func() error { return on.RunOne(ctx, r) }
	require.Zero(t, counted(t, one), "to take a connection, to run a statement and to give it back takes none")
	r = requested("SELECT id, name, name, size FROM files WHERE name = ?", sqlite.TextOf("the name of file 1"))
	require.LessOrEqual(t, counted(t, one), 1.0, "its texts")
	require.Equal(t, "the name of file 1", r.Row[2].Text())
}

func TestRowsOfARequestAllocateTheirTextsAlone(t *testing.T) {
	byItself(t)
	ctx, p := withRequests(t)
	on, r, row := readers(p), requested("SELECT id, name, name, size FROM files"), make([]sqlite.Value, 4)
	require.LessOrEqual(t, counted(t, func() error {
		rows, err := on.RunMany(ctx, r)
		for err == nil {
			err = rows.NextRow(row)
		}
		if err != io.EOF {
			return err
		}
		return rows.Close()
	}), 1000+3.0, "one a row; the lease, the rows, and both together")
}

func TestAWritingRequestAllocatesItsResult(t *testing.T) {
	byItself(t)
	ctx, p := withRequests(t)
	r := requested("UPDATE files SET size = ? WHERE id = ?", sqlite.IntegerOf(1000), sqlite.IntegerOf(1000))
	require.NoError(t, p.StoreInTx(ctx, pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
		on := tx.(request.Runner)
		require.LessOrEqual(t, counted(t, func() error {
			_, err := on.RunExec(ctx, r)
			return err
		}), 1.0, "the result")
		returning := requested("UPDATE files SET size = ? WHERE id = ? RETURNING size", sqlite.IntegerOf(1000), sqlite.IntegerOf(1000))
		require.Zero(t, counted(t, func() error { return on.RunOne(ctx, returning) }))
		return nil
	}))
	on := writers(p)
	require.LessOrEqual(t, counted(t, func() error {
		_, err := on.RunExec(ctx, r)
		return err
	}), 5.0, "the result, the statement with its place in the queue, and what os.Stat says of the file")
}

// The benchmarks below are a pair: what the same statement costs without
// database/sql and with it.

func BenchmarkRow(b *testing.B) {
	ctx, l := withFiles(b)
	var id, size int64
	var name string
	b.Run("native", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := l.QueryRow(ctx, pointRead, int64(500)).Scan(&id, &name, &size); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("databaseSQL", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := l.QueryRowContext(ctx, pointRead, int64(500)).Scan(&id, &name, &size); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRows(b *testing.B) {
	ctx, l := withFiles(b)
	const query = "SELECT id, name, size FROM files"
	var id, size int64
	var name string
	b.Run("native", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rows, err := l.Query(ctx, query)
			if err != nil {
				b.Fatal(err)
			}
			for rows.Next() {
				if err := rows.Scan(&id, &name, &size); err != nil {
					b.Fatal(err)
				}
			}
			if err := rows.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("databaseSQL", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rows, err := l.QueryContext(ctx, query)
			if err != nil {
				b.Fatal(err)
			}
			for rows.Next() {
				if err := rows.Scan(&id, &name, &size); err != nil {
					b.Fatal(err)
				}
			}
			if err := rows.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkExec(b *testing.B) {
	ctx, l := withFiles(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Exec(ctx, "UPDATE files SET size = ? WHERE id = 0", int64(1000)); err != nil {
			b.Fatal(err)
		}
	}
}
