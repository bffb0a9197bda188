package pool_test

import (
	"bytes"
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// lengths are those around which texts begin to have memory of their own.
var lengths = []int{0, 1, 127, 128, 129, 5000}

func TestTextsOfEachLengthStandBesideEachOther(t *testing.T) {
	for _, encoding := range []string{"'UTF-8'", "'UTF-16le'"} {
		p := open(t, pool.Config{Pragmas: map[string]string{"encoding": encoding}})
		run(t, p, "CREATE TABLE mixed (a TEXT, n INTEGER, b TEXT, z TEXT, f REAL, c TEXT, d BLOB)")
		text := func(letter string, n int) string { return strings.Repeat(letter, n) }
		for i, a := range lengths {
			for _, b := range lengths {
				for _, c := range lengths {
					run(t, p, "INSERT INTO mixed VALUES (?, ?, ?, NULL, 1.5, ?, ?)", text("a", a), i, text("b", b), text("c", c), []byte(text("d", b)))
				}
			}
		}
		type row struct {
			a, b, c string
			z       sql.NullString
			n       int
			f       float64
			d       []byte
		}
		var kept []row
		l := acquire(t, p)
		rows, err := l.QueryContext(t.Context(), "SELECT a, n, b, z, f, c, d FROM mixed ORDER BY rowid")
		require.NoError(t, err)
		for rows.Next() {
			var r row
			require.NoError(t, rows.Scan(&r.a, &r.n, &r.b, &r.z, &r.f, &r.c, &r.d))
			kept = append(kept, r)
		}
		require.NoError(t, rows.Err())
		l.Release()
		for i, a := range lengths {
			for _, b := range lengths {
				for _, c := range lengths {
					r := kept[0]
					kept = kept[1:]
					require.Equal(t, row{a: text("a", a), n: i, b: text("b", b), f: 1.5, c: text("c", c), d: r.d}, r)
					require.Equal(t, text("d", b), string(r.d))
				}
			}
		}
		require.Empty(t, kept)
	}
}

// TestNoTextIsAnothersMemory changes the bytes of each row it has scanned.
func TestNoTextIsAnothersMemory(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	defer l.Release()
	const query = `WITH RECURSIVE c(x) AS (VALUES (0) UNION ALL SELECT x+1 FROM c WHERE x < 99)
		SELECT printf('%03d', x), '', NULL, 'a' || char(0) || 'b', CAST(x'ff80' AS TEXT), printf('%0200d', x) FROM c`
	rows, err := l.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var names []string
	for n := 0; rows.Next(); n++ {
		var short, raw, empty, null, nul, invalid, long []byte
		var name string
		require.NoError(t, rows.Scan(&short, &empty, &null, &nul, &invalid, &long))
		for _, b := range [][]byte{short, nul, invalid, long} {
			copy(b, bytes.Repeat([]byte("!"), len(b)))
		}
		require.NotNil(t, empty)
		require.Nil(t, null)

		// The same query in its own rows, on the same connection.
		inner, err := l.QueryContext(t.Context(), query)
		require.NoError(t, err)
		require.True(t, inner.Next())
		var first string
		require.NoError(t, inner.Scan(&first, new(any), new(any), new(any), new(any), new(any)))
		require.Equal(t, "000", first)
		require.NoError(t, inner.Close())

		require.NoError(t, rows.Scan(&name, &empty, &null, &nul, &invalid, &long))
		require.Equal(t, "a\x00b", string(nul))
		require.Equal(t, "\xff\x80", string(invalid))
		require.Len(t, long, 200)
		names = append(names, name)
		require.NoError(t, rows.Scan((*sql.RawBytes)(&raw), new(any), new(any), new(any), new(any), new(any)))
		for i := range raw {
			raw[i] = '!'
		}
	}
	require.NoError(t, rows.Err())
	require.Len(t, names, 100)
	for i, name := range names {
		require.Equal(t, int64(i), get(t, p, "SELECT CAST(? AS INTEGER)", name))
	}
}

// TestTheTextsOfManyReadersAreTheirOwn is for the race detector.
func TestTheTextsOfManyReadersAreTheirOwn(t *testing.T) {
	p := open(t, pool.Config{MaxConns: 3})
	done := make(chan error)
	for i := range 6 {
		go func() {
			done <- p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
				for range 100 {
					var a, b string
					if err := tx.QueryRowContext(ctx, "SELECT printf('%d', ?1), printf('%0128d', ?1)", i).Scan(&a, &b); err != nil {
						return err
					}
					if strings.TrimLeft(b, "0") != strings.TrimLeft(a, "0") {
						return &pool.Error{Op: a + " beside " + b}
					}
				}
				return nil
			})
		}()
	}
	for range 6 {
		require.NoError(t, <-done)
	}
}
