package wire_test

import (
	"context"
	"database/sql/driver"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/internal/wire"
)

// three are requests, and what is sent for them.
var (
	three = []wire.Request{
		{Query: "INSERT INTO t VALUES (?)", Args: []driver.Value{int64(5)}},
		{Query: "DELETE FROM t; -- all"},
		{Query: "UPDATE t SET a = 1"},
	}
	threeSent = []step{
		{ask: message(8, 0, "INSERT INTO t VALUES (?)", raw{1, 1, 0, 0, 0, 0, 0, 0}, 5)},
		{ask: message(8, 0, "DELETE FROM t")},
		{ask: message(8, 0, "UPDATE t SET a = 1")},
	}
)

// takingAll reads the requests of all steps, and only then answers them.
func takingAll(steps []step, behind ...step) func(net.Conn) error {
	return func(conn net.Conn) error {
		var script []step
		for i, s := range steps {
			if i < len(steps)-1 {
				script = append(script, step{s.ask, nil})
				continue
			}
			var all []byte
			for _, s := range steps {
				all = append(all, s.tell...)
			}
			script = append(script, step{s.ask, all})
		}
		return play(conn, append(script, behind...))
	}
}

// told gives the steps their answers.
func told(steps []step, answers ...[]byte) (all []step) {
	for i, s := range steps {
		all = append(all, step{s.ask, answers[i]})
	}
	return all
}

func TestExecAllSendsAllBeforeItReadsAnAnswer(t *testing.T) {
	c := connected(t, takingAll(told(threeSent, message(6, 9, 1), message(0, 19, "a constraint"), message(6, 9, 4)), leaderStep))
	got := c.ExecAll(within(t), three)
	require.Len(t, got, 3)
	for i, want := range [][2]int64{{9, 1}, {0, 0}, {9, 4}} {
		id, _ := got[i].LastInsertId()
		n, _ := got[i].RowsAffected()
		require.Equal(t, want, [2]int64{id, n}, i)
	}
	require.NoError(t, got[0].Err)
	require.Equal(t, &wire.Failure{Code: 19, Message: "a constraint"}, got[1].Err)
	require.NoError(t, got[2].Err, "it runs whatever became of the one before it")
	usable(t, c)
}

func TestExecAllLeavesOutWhatCannotBeSent(t *testing.T) {
	c := connected(t, takingAll(told(threeSent[1:], message(6, 0, 2), message(6, 0, 3)), leaderStep))
	got := c.ExecAll(within(t), []wire.Request{
		{Query: "INSERT INTO t VALUES (?)", Args: []driver.Value{"a\x00"}},
		three[1],
		{Query: "SELECT 1; SELECT 2"},
		{Query: "PRAGMA page_size=1024"},
		three[2],
	})
	require.ErrorContains(t, got[0].Err, "NUL byte")
	require.NoError(t, got[1].Err)
	require.ErrorContains(t, got[2].Err, "2 statements where one is needed")
	require.ErrorContains(t, got[3].Err, "page_size")
	require.NoError(t, got[4].Err)
	n, _ := got[4].RowsAffected()
	require.EqualValues(t, 3, n)
	usable(t, c)

	// Nothing at all is sent.
	c = connected(t, takingAll([]step{leaderStep}))
	require.Empty(t, c.ExecAll(within(t), nil))
	require.ErrorContains(t, c.ExecAll(within(t), []wire.Request{{Query: "\x00"}})[0].Err, "NUL byte")
	usable(t, c)
}

func TestExecAllSaysOfEachWhetherItsAnswerCame(t *testing.T) {
	c := connected(t, func(conn net.Conn) error {
		return play(conn, []step{{whatever, nil}, {whatever, nil}, {whatever, message(6, 9, 1)}})
	})
	got := c.ExecAll(within(t), three)
	require.NoError(t, got[0].Err)
	requireLost(t, c, got[1].Err, true)
	requireLost(t, c, got[2].Err, true)
	require.ErrorIs(t, got[1].Err, io.EOF)

	for _, reply := range c.ExecAll(within(t), three) {
		var lost *wire.Lost
		require.ErrorAs(t, reply.Err, &lost)
		require.False(t, lost.Sent, "it was lost before")
	}
}

func TestAMalformedAnswerAmongManyCostsTheConnection(t *testing.T) {
	for name, bad := range map[string][]byte{
		"too short":     message(6, 1),
		"another kind":  message(7, 1, 1),
		"not a failure": message(0, 1),
	} {
		c := connected(t, func(conn net.Conn) error {
			_ = takingAll(told(threeSent, message(6, 9, 1), bad, message(6, 9, 1)))(conn)
			return nil // whoever sees nonsense need not read what comes behind it
		})
		got := c.ExecAll(within(t), three)
		require.NoError(t, got[0].Err, name)
		requireLost(t, c, got[1].Err, true)
		requireLost(t, c, got[2].Err, true)
	}
}

func TestExecAllEndsWithItsContext(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c := answering(t, leaderStep)
	for _, reply := range c.ExecAll(ended, three) {
		require.Equal(t, context.Canceled, reply.Err)
	}
	usable(t, c)

	ctx, cancel := context.WithCancel(t.Context())
	c = connected(t, func(conn net.Conn) error {
		err := play(hangingUp{conn}, []step{{whatever, nil}, {whatever, nil}, {whatever, message(6, 9, 1)}})
		cancel()
		_, _ = io.Copy(io.Discard, conn) // until the other side closes
		return err
	})
	got := c.ExecAll(ctx, three)
	require.NoError(t, got[0].Err)
	for _, reply := range got[1:] {
		requireLost(t, c, reply.Err, true)
		require.ErrorIs(t, reply.Err, context.Canceled)
	}

	// While nobody takes what is sent.
	ctx, cancel = context.WithCancel(t.Context())
	c = connected(t, func(conn net.Conn) error {
		_, err := io.ReadFull(conn, make([]byte, 8+16))
		cancel()
		return err
	})
	for _, reply := range c.ExecAll(ctx, three) {
		requireLost(t, c, reply.Err, true)
		require.ErrorIs(t, reply.Err, context.Canceled)
	}
}

// hangingUp is a connection that its node does not close.
type hangingUp struct{ net.Conn }

func (hangingUp) Close() error { return nil }

func TestExecAllWaitsForNoRows(t *testing.T) {
	c := answering(t, step{whatever, rowsOf(false, "a", 1)}, leaderStep)
	rows, err := c.Query(within(t), "x", nil)
	require.NoError(t, err)
	for _, reply := range c.ExecAll(within(t), three) {
		require.ErrorContains(t, reply.Err, "rows are still open")
	}
	require.Equal(t, [][]driver.Value{{int64(1)}}, all(t, rows))
	usable(t, c)
}
