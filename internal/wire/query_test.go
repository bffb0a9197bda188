package wire_test

import (
	"database/sql/driver"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/internal/wire"
)

func TestOpenRegistersAndOpens(t *testing.T) {
	c := connected(t, func(conn net.Conn) error {
		return play(conn, []step{
			{whatever, message(2, 15000)},
			{message(3, "app.db", 0, "volatile"), message(4, uint32(0), uint32(0))},
			leaderStep,
		})
	})
	require.NoError(t, c.Open(within(t), "app.db"))
	usable(t, c)
}

func TestExecSendsStatements(t *testing.T) {
	done := message(6, 12, 3)
	for text, sent := range map[string]string{
		"INSERT INTO t VALUES (1)":                     "INSERT INTO t VALUES (1)",
		"-- name: x\nINSERT INTO t VALUES (1); -- y\n": "INSERT INTO t VALUES (1)",
		"SELECT ';'; SELECT 2 ;":                       "SELECT ';';\nSELECT 2",
		" ; -- nothing":                                "",
	} {
		c := answering(t, step{message(8, 0, sent), done})
		res, err := c.Exec(within(t), text, nil)
		require.NoError(t, err)
		id, err := res.LastInsertId()
		require.NoError(t, err)
		require.EqualValues(t, 12, id)
		n, err := res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
	}
}

func TestArgumentsGoByTheirTypes(t *testing.T) {
	c := answering(
		t,
		step{
			message(8, 0, "x", raw{9, 1, 2, 1, 1, 4, 4, 5, 3, 5, 0, 0, 0, 0, 0, 0},
				-5, math.Float64bits(2.5), 1, 0, 3, raw{7, 8, 9, 0, 0, 0, 0, 0}, 0, 0, "12345678", 0),
			message(6, 0, 0),
		},
		step{message(8, 0, "x", raw{7, 1, 1, 1, 1, 1, 1, 1}, 1, 2, 3, 4, 5, 6, 7), message(6, 0, 0)},
		step{message(8, 0, "x", raw{1, 3, 0, 0, 0, 0, 0, 0}, ""), message(6, 0, 0)},
	)
	for _, args := range [][]driver.Value{
		{int64(-5), 2.5, true, false, []byte{7, 8, 9}, []byte{}, []byte(nil), "12345678", nil},
		{int64(1), int64(2), int64(3), int64(4), int64(5), int64(6), int64(7)},
		{""},
	} {
		_, err := c.Exec(within(t), "x", args)
		require.NoError(t, err)
	}
}

func TestWhatCannotBeSentIsRefusedAndNothingSent(t *testing.T) {
	c := answering(t, leaderStep)
	many := make([]driver.Value, 256)
	for want, call := range map[string]func() error{
		"too many arguments: 256; a statement has at most 255": func() error { _, err := c.Exec(within(t), "x", many); return err },
		"argument 2 contains a NUL byte": func() error {
			_, err := c.Query(within(t), "x", []driver.Value{"a", "b\x00"})
			return err
		},
		"the statement contains a NUL byte":       func() error { _, err := c.Exec(within(t), "SELECT 1\x00", nil); return err },
		"the database's name contains a NUL byte": func() error { _, err := c.Dump(within(t), "a\x00b"); return err },
		"argument 1 is a time.Time":               func() error { _, err := c.Exec(within(t), "x", []driver.Value{time.Now()}); return err },
		"argument 1 is a int, which":              func() error { _, err := c.Exec(within(t), "x", []driver.Value{1}); return err },
		"2 statements where one is needed":        func() error { _, err := c.Query(within(t), "SELECT 1; SELECT 2", nil); return err },
		"2 statements where one is needed; several can be run by Exec without arguments": func() error {
			_, err := c.Exec(within(t), "SELECT ?; SELECT 2", []driver.Value{"a"})
			return err
		},
		"there is no statement in the text": func() error { _, err := c.Prepare(within(t), "-- none"); return err },
	} {
		require.ErrorContains(t, call(), want)
	}
	usable(t, c)
}

// huge is what nobody touches, so that it takes no memory. It is made before any memory has
// been used, which would have to be cleared.
var huge = make([]byte, 1<<30)

func TestARequestThatIsTooLargeIsRefusedBeforeItIsMade(t *testing.T) {
	c := answering(t, leaderStep)
	_, err := c.Exec(within(t), "x", []driver.Value{huge})
	require.EqualError(t, err, "dqlite: a request of more than 1073741824 bytes, which is the most that is sent")
	usable(t, c)
}

func Test255ArgumentsAreSent(t *testing.T) {
	c := answering(t, step{whatever, message(6, 0, 0)})
	_, err := c.Exec(within(t), "x", make([]driver.Value, 255))
	require.NoError(t, err)
}

func TestAPreparedStatementRunsUntilClosed(t *testing.T) {
	ctx := within(t)
	c := answering(
		t,
		step{message(4, 0, "SELECT ?"), message(5, uint32(0), uint32(6), 1)},
		step{message(6, uint32(0), uint32(6), raw{1, 1, 0, 0, 0, 0, 0, 0}, 9), rowsOf(false, "a", 9)},
		step{message(5, uint32(0), uint32(6), raw{1, 3, 0, 0, 0, 0, 0, 0}, "y"), message(6, 1, 2)},
		step{message(7, uint32(0), uint32(6)), message(0, 12, "no statement with the given id")},
		step{message(7, uint32(0), uint32(6)), message(8, 0)},
		leaderStep,
	)
	s, err := c.Prepare(ctx, "SELECT ?;")
	require.NoError(t, err)
	require.Equal(t, 1, s.NumInput())
	rows, err := s.Query(ctx, []driver.Value{int64(9)})
	require.NoError(t, err)
	require.Equal(t, [][]driver.Value{{int64(9)}}, all(t, rows))
	_, err = s.Exec(ctx, []driver.Value{"y"})
	require.NoError(t, err)

	_, err = s.Exec(ctx, nil)
	require.EqualError(t, err, "dqlite: 0 arguments for a statement that has 1 parameters")
	_, err = s.Query(ctx, make([]driver.Value, 2))
	require.EqualError(t, err, "dqlite: 2 arguments for a statement that has 1 parameters")

	var failure *wire.Failure
	require.ErrorAs(t, s.Close(ctx), &failure)
	require.NoError(t, s.Close(ctx))
	require.NoError(t, s.Close(ctx))
	_, err = s.Exec(ctx, []driver.Value{"y"})
	require.EqualError(t, err, "dqlite: the statement is closed")
	usable(t, c)
}

func TestAStatementOfALostConnectionIsClosed(t *testing.T) {
	c := answering(t, step{whatever, message(5, uint32(0), uint32(6), 0)})
	s, err := c.Prepare(within(t), "SELECT 1")
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.ErrorIs(t, s.Close(within(t)), net.ErrClosed)
	require.NoError(t, s.Close(within(t)))
}

func TestAFailureBehindRowsIsFound(t *testing.T) {
	// As dqlite has it where a statement fails after its first row: the beginning of the
	// part, without its end, and then the failure.
	for _, text := range []string{"UNIQUE constraint failed: t.id", strings.Repeat("12345678", 4), "", "1234567"} {
		c := answering(t, step{whatever, message(0, 2, "id", "name", raw{0x31, 0, 0, 0, 0, 0, 0, 0}, 1, "one", 2067, text)}, leaderStep)
		_, err := c.Query(within(t), "INSERT INTO t VALUES (1) RETURNING id, name", nil)
		var failure *wire.Failure
		require.ErrorAs(t, err, &failure)
		require.Equal(t, &wire.Failure{Code: 2067, Message: text}, failure)
		usable(t, c)
	}
}

func TestAFailureSaysWhatItMeans(t *testing.T) {
	for _, f := range []struct{ node, want wire.Failure }{
		{wire.Failure{Code: 7, Message: "no more rows available"}, wire.Failure{Code: wire.CodeNotLeader, Message: "not leader"}},
		{wire.Failure{Code: 7, Message: "not an error"}, wire.Failure{Code: wire.CodeNotLeader, Message: "not leader"}},
		{wire.Failure{Code: 7, Message: "out of memory"}, wire.Failure{Code: 7, Message: "out of memory"}},
		{wire.Failure{Code: 8, Message: "no more rows available"}, wire.Failure{Code: wire.CodeLeadershipLost, Message: "leadership lost"}},
		{wire.Failure{Code: 8, Message: "attempt to write a readonly database"}, wire.Failure{Code: 8, Message: "attempt to write a readonly database"}},
		{wire.Failure{Code: 1, Message: "not an error"}, wire.Failure{Code: 1, Message: "the statement returns no rows, and was not run; Exec runs it"}},
		{wire.Failure{Code: 1, Message: "no such table: t"}, wire.Failure{Code: 1, Message: "no such table: t"}},
		{wire.Failure{Code: 100, Message: "another row available"}, wire.Failure{Code: wire.CodeRow, Message: "the statement returns rows, of which none was read; Query reads them"}},
	} {
		c := answering(t, step{whatever, message(0, f.node.Code, f.node.Message)})
		_, err := c.Exec(within(t), "x", nil)
		require.Equal(t, &f.want, err)
	}
}
