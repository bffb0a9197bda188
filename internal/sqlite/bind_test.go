package sqlite_test

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/stretchr/testify/require"
)

func argumentsOf(values ...sqlite.Value) (args []sqlite.Argument) {
	for _, v := range values {
		args = append(args, sqlite.Argument{Value: v})
	}
	return args
}

// first runs a statement and returns the values of its first row.
func first(t *testing.T, s *sqlite.Stmt, args []sqlite.Argument) []sqlite.Value {
	t.Helper()
	require.NoError(t, s.Check(args))
	row, found, err := s.One(args, nil)
	require.NoError(t, err)
	require.True(t, found)
	return row
}

func TestWhatIsBoundComesBack(t *testing.T) {
	c := open(t, sqlite.Options{})
	s := prepare(t, c, "SELECT ?, typeof(?1)")
	defer c.Release(s)
	long := strings.Repeat("long ", 10_000)
	at := time.Date(2024, 2, 29, 1, 2, 3, 4, time.FixedZone("", 3600))
	for _, v := range []struct {
		given, want sqlite.Value
		kind        string
	}{
		{sqlite.Value{}, sqlite.Value{}, "null"},
		{sqlite.IntegerOf(math.MinInt64), sqlite.IntegerOf(math.MinInt64), "integer"},
		{sqlite.FloatOf(1.5), sqlite.FloatOf(1.5), "real"},
		{sqlite.BoolOf(true), sqlite.IntegerOf(1), "integer"},
		{sqlite.TextOf("text"), sqlite.TextOf("text"), "text"},
		{sqlite.TextOf(""), sqlite.TextOf(""), "text"},
		{sqlite.TextOf("nul \x00 inside"), sqlite.TextOf("nul \x00 inside"), "text"},
		{sqlite.TextOf(long), sqlite.TextOf(long), "text"},
		{sqlite.BlobOf([]byte{}), sqlite.BlobOf([]byte{}), "blob"},
		{sqlite.BlobOf(nil), sqlite.Value{}, "null"},
		{sqlite.BlobOf([]byte(long)), sqlite.BlobOf([]byte(long)), "blob"},
		{sqlite.TextOf("short again"), sqlite.TextOf("short again"), "text"},
		{sqlite.TimeOf(at), sqlite.TextOf("2024-02-29 00:02:03.000000004+00:00"), "text"},
	} {
		require.Equal(t, []sqlite.Value{v.want, sqlite.TextOf(v.kind)}, first(t, s, argumentsOf(v.given)))
	}
}

func TestEachParameterHasMemoryOfItsOwn(t *testing.T) {
	c := open(t, sqlite.Options{})
	// Several parameters of SQLite's take the same argument: each is bound by itself.
	named := prepare(t, c, "SELECT :a || @a || $a || :b || @b")
	defer c.Release(named)
	numbered := prepare(t, c, "SELECT ?1 || $1 || $2")
	defer c.Release(numbered)
	for _, n := range []int{0, 1, 100, 5000, 3} {
		a, b := strings.Repeat("a", n), strings.Repeat("b", n)
		row := first(t, named, []sqlite.Argument{{Name: "b", Value: sqlite.TextOf(b)}, {Name: "a", Value: sqlite.TextOf(a)}})
		require.Equal(t, a+a+a+b+b, row[0].Text())
		row = first(t, numbered, argumentsOf(sqlite.TextOf(a), sqlite.TextOf(b)))
		require.Equal(t, a+a+b, row[0].Text())
	}
}

func TestAnArgumentMayBeOverwrittenWhileItsRowsAreRead(t *testing.T) {
	c := open(t, sqlite.Options{})
	s := prepare(t, c, "SELECT ? UNION ALL SELECT ?1")
	defer c.Release(s)
	blob := bytes.Repeat([]byte("x"), 9000)
	require.NoError(t, s.Open(argumentsOf(sqlite.BlobOf(blob))))
	clear(blob)
	row := make([]sqlite.Value, 1)
	for range 2 {
		require.NoError(t, s.Next(row))
		require.Equal(t, bytes.Repeat([]byte("x"), 9000), row[0].Blob())
	}
	require.NoError(t, s.End())
}

func TestATimeIsWrittenAsTheFormatHasIt(t *testing.T) {
	at := time.Date(2024, 2, 29, 1, 2, 3, 4_005_006, time.UTC)
	for format, want := range map[sqlite.TimeFormat]sqlite.Value{
		"text":       sqlite.TextOf("2024-02-29 01:02:03.004005006+00:00"),
		"unix":       sqlite.IntegerOf(at.Unix()),
		"unix_milli": sqlite.IntegerOf(at.UnixMilli()),
		"unix_micro": sqlite.IntegerOf(at.UnixMicro()),
		"unix_nano":  sqlite.IntegerOf(at.UnixNano()),
	} {
		c := open(t, sqlite.Options{Times: format})
		s := prepare(t, c, "SELECT ?")
		args := argumentsOf(sqlite.TimeOf(at))
		require.NoError(t, format.Check(args))
		require.Equal(t, want, first(t, s, args)[0], format)
		c.Release(s)
	}
	late := argumentsOf(sqlite.IntegerOf(1), sqlite.TimeOf(time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)))
	require.EqualError(t, sqlite.TimeFormat("text").Check(late), "argument 2: a time in the year 10000; those from 0000 to 9999 can be written")
	require.ErrorContains(t, sqlite.TimeFormat("unix_nano").Check(argumentsOf(sqlite.TimeOf(time.Time{}))), "from 1678 to 2261")
}

func TestTheFirstRowOfAWriteIsReadWhenItIsDone(t *testing.T) {
	c := open(t, sqlite.Options{})
	s := prepare(t, c, "INSERT INTO n (v) VALUES (?), (?), (?) RETURNING id, v")
	row, found, err := s.One(argumentsOf(sqlite.IntegerOf(1), sqlite.IntegerOf(2), sqlite.TextOf("three")), make([]sqlite.Value, 7))
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, argumentsOf(sqlite.IntegerOf(1), sqlite.IntegerOf(1)), argumentsOf(row...))
	require.True(t, c.Autocommit())
	_, found, err = s.One(argumentsOf(sqlite.IntegerOf(4), sqlite.IntegerOf(4), sqlite.IntegerOf(5)), row)
	require.ErrorContains(t, err, "UNIQUE")
	require.False(t, found)
	c.Release(s)
	count := prepare(t, c, "SELECT count(*) FROM n")
	defer c.Release(count)
	require.EqualValues(t, 3, first(t, count, nil)[0].Int())
	none := prepare(t, c, "SELECT 1 WHERE ?")
	defer c.Release(none)
	_, found, err = none.One(argumentsOf(sqlite.IntegerOf(0)), nil)
	require.NoError(t, err)
	require.False(t, found)
}
