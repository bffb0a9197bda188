package wire_test

import (
	"context"
	"database/sql/driver"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/internal/wire"
)

const (
	morePart = uint64(0xeeeeeeeeeeeeeeee)
	lastPart = uint64(0xffffffffffffffff)
)

// rowsOf is a part of rows of one column, all integers.
func rowsOf(more bool, column string, values ...int) []byte {
	parts := []any{1, column}
	for _, v := range values {
		parts = append(parts, 1, v)
	}
	end := lastPart
	if more {
		end = morePart
	}
	return message(7, append(parts, end)...)
}

func row(columns int) []driver.Value {
	return make([]driver.Value, columns)
}

// all reads the rows to their end.
func all(t *testing.T, rows *wire.Rows) (read [][]driver.Value) {
	t.Helper()
	for {
		dest := row(len(rows.Columns()))
		err := rows.Next(dest)
		if err == io.EOF {
			return read
		}
		require.NoError(t, err)
		read = append(read, dest)
	}
}

func TestValuesComeByTheirTypes(t *testing.T) {
	c := answering(
		t,
		step{message(9, 0, "SELECT 1"), message(
			7, 3, "a", "b", "c",
			raw{0x21, 0x03, 0, 0, 0, 0, 0, 0}, -1, math.Float64bits(0.5), "text that is longer",
			raw{0x54, 0x04, 0, 0, 0, 0, 0, 0}, 3, raw{1, 2, 3, 0, 0, 0, 0, 0}, 0, 0,
			raw{0xb9, 0x0b, 0, 0, 0, 0, 0, 0}, 1700000000, 1, 0,
			raw{0xaa, 0x0a, 0, 0, 0, 0, 0, 0}, "2024-01-02 03:04:05+02:00", "no time", "",
			raw{0x33, 0x0a, 0, 0, 0, 0, 0, 0}, "", "1234567", "2024-01-02",
			lastPart,
		)},
		leaderStep,
	)
	rows, err := c.Query(within(t), "SELECT 1;", nil)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c"}, rows.Columns())
	dest := row(3)
	require.NoError(t, rows.Next(dest))
	require.Equal(t, []driver.Value{int64(-1), 0.5, "text that is longer"}, dest)
	require.Equal(t, []byte{1, 2, 3}, rows.Types())
	require.Equal(t, [][]driver.Value{
		{[]byte{1, 2, 3}, nil, []byte{}},
		{int64(1700000000), true, false},
		{time.Date(2024, 1, 2, 1, 4, 5, 0, time.UTC), "no time", nil},
		{"", "1234567", time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC)},
	}, all(t, rows))
	require.NoError(t, rows.Close())
	usable(t, c)
}

func TestRowsOfManyColumns(t *testing.T) {
	// The types take half a byte each, padded.
	for _, n := range []int{1, 2, 15, 16, 17, 32, 33, 2000} {
		parts, want := []any{n}, row(n)
		for range n {
			parts = append(parts, "c")
		}
		types := make(raw, (n+15)/16*8)
		for i := range n {
			types[i/2] |= 1 << (i % 2 * 4)
		}
		parts = append(parts, types)
		for i := range n {
			parts = append(parts, i)
			want[i] = int64(i)
		}
		c := answering(t, step{whatever, message(7, append(parts, lastPart)...)})
		rows, err := c.Query(within(t), "x", nil)
		require.NoError(t, err)
		require.Equal(t, [][]driver.Value{want}, all(t, rows))
	}
}

func TestRowsComeInParts(t *testing.T) {
	var answers []byte
	var want [][]driver.Value
	for part := range 1000 {
		values := make([]int, 100)
		for i := range values {
			values[i] = part*100 + i
			want = append(want, []driver.Value{int64(values[i])})
		}
		answers = append(answers, rowsOf(true, "n", values...)...)
	}
	answers = append(answers, rowsOf(true, "n")...) // a part without rows is none of its end
	answers = append(answers, rowsOf(false, "n")...)
	c := answering(t, step{whatever, answers}, leaderStep)
	rows, err := c.Query(within(t), "x", nil)
	require.NoError(t, err)
	require.Equal(t, want, all(t, rows))
	usable(t, c)
}

func TestThereMayBeNoRows(t *testing.T) {
	c := answering(t, step{whatever, rowsOf(false, "n")}, leaderStep)
	rows, err := c.Query(within(t), "x", nil)
	require.NoError(t, err)
	require.Equal(t, []string{"n"}, rows.Columns())
	require.Equal(t, io.EOF, rows.Next(row(1)))
	usable(t, c)
}

func TestValuesAreAsLargeAsTheyAre(t *testing.T) {
	// Around what a buffer holds, and what is read at once.
	var steps []step
	sizes := []int{0, 1, 7, 8, 9, 4095, 4096, 8191, 8192, 8193, 65535, 65536, 65537, 5 << 20}
	for _, n := range sizes {
		steps = append(steps, step{whatever, message(7, 1, "t", raw{3, 0, 0, 0, 0, 0, 0, 0}, strings.Repeat("x", n), lastPart)})
	}
	c := answering(t, append(steps, leaderStep)...)
	for _, n := range sizes {
		rows, err := c.Query(within(t), "x", nil)
		require.NoError(t, err)
		got := all(t, rows)
		require.Len(t, got, 1)
		require.Len(t, got[0][0], n)
	}
	usable(t, c)
}

func TestWhatWasReadIsTheCallersOwn(t *testing.T) {
	part := message(7, 2, "b", "t", raw{0x34, 0, 0, 0, 0, 0, 0, 0}, 3, raw("abc\x00\x00\x00\x00\x00"), "text", morePart)
	other := message(7, 2, "b", "t", raw{0x34, 0, 0, 0, 0, 0, 0, 0}, 3, raw("xyz\x00\x00\x00\x00\x00"), "else", lastPart)
	c := answering(t, step{whatever, append(part, other...)})
	rows, err := c.Query(within(t), "x", nil)
	require.NoError(t, err)
	require.Equal(t, [][]driver.Value{{[]byte("abc"), "text"}, {[]byte("xyz"), "else"}}, all(t, rows))
}

func TestOpenRowsKeepTheConnection(t *testing.T) {
	c := answering(t, step{whatever, rowsOf(false, "a", 1)}, leaderStep)
	rows, err := c.Query(within(t), "x", nil)
	require.NoError(t, err)
	const open = "dqlite: the connection's rows are still open; read them to the end or close them"
	_, err = c.Exec(within(t), "x", nil)
	require.EqualError(t, err, open)
	_, err = c.Query(within(t), "x", nil)
	require.EqualError(t, err, open)
	require.EqualError(t, rows.Next(row(2)), "dqlite: 2 values for rows of 1 columns")
	require.Equal(t, [][]driver.Value{{int64(1)}}, all(t, rows))
	usable(t, c)
}

func TestClosingRowsEarlyLeavesTheConnectionUsable(t *testing.T) {
	for name, steps := range map[string][]step{
		"the last part is there": {{whatever, rowsOf(false, "a", 1, 2)}},
		"more were coming": {
			{whatever, rowsOf(true, "a", 1, 2)},
			{message(10, 0), append(append(rowsOf(true, "a", 3), rowsOf(false, "a", 4)...), message(8, 0)...)},
		},
		"a failure was coming": {
			{whatever, rowsOf(true, "a", 1, 2)},
			{message(10, 0), append(message(0, 1, "overflow"), message(8, 0)...)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := answering(t, append(steps, leaderStep)...)
			rows, err := c.Query(within(t), "x", nil)
			require.NoError(t, err)
			require.NoError(t, rows.Next(row(1)))
			require.NoError(t, rows.Close())
			require.NoError(t, rows.Close())
			require.Equal(t, io.EOF, rows.Next(row(1)))
			usable(t, c)
		})
	}
}

func TestClosingRowsFailsWithTheConnection(t *testing.T) {
	// The node answers with what it cannot answer.
	c := answering(t, step{whatever, rowsOf(true, "a", 1)}, step{whatever, message(6, 0, 0)})
	rows, err := c.Query(within(t), "x", nil)
	require.NoError(t, err)
	requireLost(t, c, rows.Close(), true)
	require.NoError(t, rows.Close())

	// The connection is closed before.
	c = answering(t, step{whatever, rowsOf(true, "a", 1)})
	rows, err = c.Query(within(t), "x", nil)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, rows.Close())
}

func TestRowsEndWithTheConnection(t *testing.T) {
	c := answering(t, step{whatever, rowsOf(true, "a", 1)})
	rows, err := c.Query(within(t), "x", nil)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.ErrorIs(t, rows.Next(row(1)), net.ErrClosed)
	require.Equal(t, io.EOF, rows.Next(row(1)))
}

func TestRowsEndWithAFailure(t *testing.T) {
	c := answering(t, step{whatever, append(rowsOf(true, "a", 1), message(0, 1, "a", 1, "integer overflow")...)}, leaderStep)
	rows, err := c.Query(within(t), "x", nil)
	require.NoError(t, err)
	require.NoError(t, rows.Next(row(1)))
	require.EqualError(t, rows.Next(row(1)), "dqlite: integer overflow (1)")
	require.Equal(t, io.EOF, rows.Next(row(1)))
	usable(t, c)
}

func TestRowsEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := answering(t, step{whatever, rowsOf(true, "a", 1, 2)})
	rows, err := c.Query(ctx, "x", nil)
	require.NoError(t, err)
	require.NoError(t, rows.Next(row(1)))
	cancel()
	err = rows.Next(row(1)) // though it is there already
	requireLost(t, c, err, true)
	require.ErrorIs(t, err, context.Canceled)
}

func TestMalformedRowsCostTheConnection(t *testing.T) {
	one := raw{1, 0, 0, 0, 0, 0, 0, 0}
	for name, parts := range map[string][]any{
		"nothing":                  {},
		"no end":                   {1, "a", one, 5},
		"no columns":               {0, lastPart},
		"more columns than fit":    {uint64(1 << 40), "a", lastPart},
		"a name without end":       {1, raw("12345678"), lastPart},
		"a type that is none":      {1, "a", raw{6, 0, 0, 0, 0, 0, 0, 0}, 5, lastPart},
		"no value":                 {1, "a", one, lastPart},
		"a BLOB that is too large": {1, "a", raw{4, 0, 0, 0, 0, 0, 0, 0}, uint64(1 << 40), 0, lastPart},
		"a BLOB of the largest":    {1, "a", raw{4, 0, 0, 0, 0, 0, 0, 0}, -1, 0, lastPart},
		"no types for two values":  {2, "a", "b", uint64(0), lastPart},
	} {
		t.Run(name, func(t *testing.T) {
			c := answering(t, step{whatever, message(7, parts...)})
			rows, err := c.Query(within(t), "x", nil)
			if err == nil {
				err = rows.Next(row(len(rows.Columns())))
			}
			requireLost(t, c, err, true)
		})
	}
	t.Run("other columns in another part", func(t *testing.T) {
		c := answering(t, step{whatever, append(rowsOf(true, "a"), message(7, 2, "a", "b", lastPart)...)})
		rows, err := c.Query(within(t), "x", nil)
		require.NoError(t, err)
		requireLost(t, c, rows.Next(row(1)), true)
	})
}
