package pool_test

import (
	"database/sql"
	"math"
	"reflect"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// described is what database/sql tells of the columns.
func described(t testing.TB, rows *sql.Rows) (all []string, scan []reflect.Type, lengths []bool) {
	t.Helper()
	types, err := rows.ColumnTypes()
	require.NoError(t, err)
	for _, c := range types {
		all, scan = append(all, c.DatabaseTypeName()), append(scan, c.ScanType())
		length, ok := c.Length()
		require.Equal(t, ok, length == math.MaxInt64)
		lengths = append(lengths, ok)
		nullable, ok := c.Nullable()
		require.True(t, nullable && ok)
		_, _, ok = c.DecimalSize()
		require.False(t, ok)
	}
	return all, scan, lengths
}

func TestAColumnIsScannedIntoItsScanTypeInEveryRow(t *testing.T) {
	onEveryFace(t, pool.Config{}, func(t *testing.T, _ *pool.Pool, on face) {
		perform(t, on, "CREATE TABLE kinds (i INTEGER, r REAL, s VARCHAR(9), b BLOB, t DATETIME, truth BOOLEAN, c CLOB, p POINT, bare)")
		const values = "(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (1, 1.5, 's', x'00', '2024-07-01', 1, 'c', 2, 'n')," +
			"('i', x'00', 1, 's', 5, 'truth', x'', 'p', 1.5), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
		for _, query := range []string{
			"INSERT INTO kinds VALUES " + values + " RETURNING *, i + 1 AS more",
			"SELECT *, i + 1 AS more FROM kinds ORDER BY rowid",
			"DELETE FROM kinds RETURNING *, i + 1 AS more",
		} {
			rows, err := on.QueryContext(t.Context(), query)
			require.NoError(t, err)
			names, scan, lengths := described(t, rows)
			require.Equal(t, []string{"INTEGER", "REAL", "VARCHAR(9)", "BLOB", "DATETIME", "BOOLEAN", "CLOB", "POINT", "", ""}, names)
			require.Equal(t, []bool{false, false, true, true, false, false, true, false, false, false}, lengths)
			count := 0
			for ; rows.Next(); count++ {
				_, again, lengthsAgain := described(t, rows)
				require.Equal(t, scan, again)
				require.Equal(t, lengths, lengthsAgain)
				into := make([]any, len(scan))
				for i, kind := range scan {
					require.NotNil(t, kind)
					into[i] = reflect.New(kind).Interface()
				}
				require.NoError(t, rows.Scan(into...))
			}
			require.NoError(t, rows.Err())
			require.Equal(t, 4, count)
			require.NoError(t, rows.Close())
		}
	})
}

func TestColumnsAreToldAfterTheLastRowToo(t *testing.T) {
	p := open(t, pool.Config{})
	l := acquire(t, p)
	defer l.Release()
	rows, err := l.QueryContext(t.Context(), "SELECT id, v FROM n UNION ALL SELECT id, v FROM n WHERE 0")
	require.NoError(t, err)
	types, err := rows.ColumnTypes()
	require.NoError(t, err)
	for rows.Next() {
		require.Equal(t, reflect.TypeFor[any](), types[0].ScanType())
	}
	require.Equal(t, reflect.TypeFor[any](), types[0].ScanType())

	none, err := l.QueryContext(t.Context(), "SELECT id, v FROM n WHERE 0")
	require.NoError(t, err)
	defer none.Close()
	names, scan, _ := described(t, none)
	require.Equal(t, []string{"INTEGER", "INTEGER"}, names)
	require.NotContains(t, scan, nil)
}

func TestAnEmptyBLOBIsNotNull(t *testing.T) {
	onEveryFace(t, pool.Config{}, func(t *testing.T, _ *pool.Pool, on face) {
		perform(t, on, "CREATE TABLE blobs (b BLOB, at DATETIME)")
		for _, c := range []struct {
			query string
			args  []any
		}{
			{"SELECT x''", nil},
			{"SELECT zeroblob(0)", nil},
			{"SELECT ?", []any{[]byte{}}},
			{"INSERT INTO blobs VALUES (x'', '2024-07-01') RETURNING b", nil},
			{"INSERT INTO blobs VALUES (?, x'') RETURNING at", []any{[]byte{}}},
			{"SELECT b FROM blobs WHERE at = '2024-07-01'", nil},
			{"SELECT at FROM blobs WHERE at = x''", nil},
			{"SELECT 1; SELECT x''", nil},
		} {
			query, args := c.query, c.args
			if got := value(t, on, query, args...); !assertEmpty(got) {
				require.Failf(t, "not an empty BLOB", "%s: %#v", query, got)
			}
			var b []byte
			require.NoError(t, on.QueryRowContext(t.Context(), query, args...).Scan(&b))
			require.NotNil(t, b, query)
			require.Empty(t, b)
			require.Equal(t, "blob", value(t, on, "SELECT typeof(?)", b), "written back")
			rows, err := on.QueryContext(t.Context(), query, args...)
			require.NoError(t, err)
			var raw sql.RawBytes
			require.True(t, rows.Next())
			require.NoError(t, rows.Scan(&raw))
			require.NotNil(t, raw, query)
			require.NoError(t, rows.Close())
		}
		require.Nil(t, value(t, on, "SELECT ?", []byte(nil)))
	})
}

func assertEmpty(v any) bool {
	b, ok := v.([]byte)
	return ok && b != nil && len(b) == 0
}
