package wire_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/internal/wire"
)

func TestDialSpeaksTCPUnlessToldOtherwise(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = play(conn, []step{leaderStep})
		}
		done <- err
	}()
	c, err := wire.Dial(within(t), nil, l.Addr().String())
	require.NoError(t, err)
	usable(t, c)
	require.NoError(t, <-done)
	require.NoError(t, l.Close())

	_, err = wire.Dial(within(t), nil, l.Addr().String())
	var lost *wire.Lost
	require.ErrorAs(t, err, &lost)
	require.False(t, lost.Sent)
	require.True(t, strings.HasPrefix(err.Error(), "dqlite: connection lost: dial tcp"), err)
}

func TestDialEndsWithItsContext(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := wire.Dial(ended, nil, "nowhere:1")
	require.Equal(t, context.Canceled, err)

	// While it dials: what the dialer says is not asked.
	ctx, cancel := context.WithCancel(t.Context())
	_, err = wire.Dial(ctx, func(context.Context, string) (net.Conn, error) {
		cancel()
		return nil, io.EOF
	}, "node")
	require.ErrorIs(t, err, context.Canceled)

	// While it greets somebody who does not listen.
	ctx, cancel = context.WithCancel(t.Context())
	here, there := net.Pipe()
	defer there.Close()
	_, err = wire.Dial(ctx, func(context.Context, string) (net.Conn, error) {
		cancel()
		return here, nil
	}, "node")
	var lost *wire.Lost
	require.ErrorAs(t, err, &lost)
	require.False(t, lost.Sent)
	require.ErrorIs(t, err, context.Canceled)
	_, err = here.Write([]byte{1})
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

func TestClosingIsIdempotentAndSaidByLost(t *testing.T) {
	c := answering(t)
	require.NoError(t, c.Lost())
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	requireLost(t, c, c.Lost(), false)
	require.ErrorIs(t, c.Lost(), net.ErrClosed)

	_, err := c.Leader(within(t))
	require.ErrorIs(t, err, net.ErrClosed)
	var lost *wire.Lost
	require.ErrorAs(t, err, &lost)
	require.False(t, lost.Sent)
	_, err = c.Query(within(t), "SELECT 1", nil)
	require.ErrorAs(t, err, &lost)
}

func TestALostConnectionSaysSoWithoutSending(t *testing.T) {
	c := answering(t, step{whatever, nil})
	_, err := c.Leader(within(t))
	requireLost(t, c, err, true)
	require.ErrorIs(t, err, io.EOF)
	require.EqualError(t, err, "dqlite: connection lost while a request was on its way: EOF")

	first := c.Lost()
	_, err = c.Leader(within(t))
	var lost *wire.Lost
	require.ErrorAs(t, err, &lost)
	require.False(t, lost.Sent)
	require.EqualError(t, err, "dqlite: connection lost: lost before (EOF): use of closed network connection")
	require.Equal(t, first, c.Lost())
	require.NoError(t, c.Close())
}

func TestTheEndOfAnEarlierContextIsNoLaterCalls(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := connected(t, func(conn net.Conn) error {
		defer cancel()
		_, err := io.ReadFull(conn, make([]byte, 8+16))
		return err
	})
	_, err := c.Leader(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, err = c.Leader(within(t))
	require.ErrorIs(t, err, net.ErrClosed)
	require.NotErrorIs(t, err, context.Canceled)
}

func TestAnAnswerThatIsCutIsNoEnd(t *testing.T) {
	for _, n := range []int{1, 7, 8, 12, 23} {
		c := answering(t, step{whatever, message(1, 7, "there:1")[:n]})
		_, err := c.Leader(within(t))
		requireLost(t, c, err, true)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d bytes", n)
	}
}

func TestALengthThatIsAbsurdIsNotWaitedFor(t *testing.T) {
	c := answering(t, step{whatever, []byte{0, 0, 0, 0x80, 7, 0, 0, 0}})
	_, err := c.Leader(within(t))
	requireLost(t, c, err, true)
	require.EqualError(t, err, "dqlite: connection lost while a request was on its way: "+
		"dqlite: malformed answer: it says that it has 17179869184 bytes; one has at most 1073741824")

	// What is allowed and does not come is not made room for either.
	c = answering(t, step{whatever, []byte{0, 0, 0, 0x08, 7, 0, 0, 0, 1}})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = c.Leader(within(t))
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<24))
}

// counted tells of each write that begins.
type counted struct {
	net.Conn
	writes chan struct{}
}

func (c counted) Write(b []byte) (int, error) {
	c.writes <- struct{}{}
	return c.Conn.Write(b)
}

func TestARequestIsOneWrite(t *testing.T) {
	here, there := net.Pipe()
	conn := counted{here, make(chan struct{}, 9)}
	c := connectedBy(t, conn, there, func(conn net.Conn) error {
		return play(conn, []step{leaderStep, {whatever, message(6, 1, 1)}, {whatever, message(6, 1, 1)}, leaderStep})
	})
	require.Len(t, conn.writes, 1)
	usable(t, c)
	require.Len(t, conn.writes, 2)
	for range 2 {
		_, err := c.Exec(within(t), "INSERT INTO t VALUES ('"+strings.Repeat("x", 1<<20)+"')", nil)
		require.NoError(t, err)
	}
	require.Len(t, conn.writes, 4)
	usable(t, c)
}

// ends are the ways in which a context ends.
var ends = map[string]func(t *testing.T) (ctx context.Context, end func(), err error){
	"cancelled": func(t *testing.T) (context.Context, func(), error) {
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		return ctx, cancel, context.Canceled
	},
	"deadline": func(t *testing.T) (context.Context, func(), error) {
		ctx, end := newDeadline(t.Context())
		return ctx, end, context.DeadlineExceeded
	},
}

// deadline is a context whose time is over when the test says so.
type deadline struct {
	context.Context
	done chan struct{}
}

func newDeadline(parent context.Context) (context.Context, func()) {
	d := &deadline{parent, make(chan struct{})}
	return d, func() { close(d.done) }
}

func (d *deadline) Done() <-chan struct{} { return d.done }

func (d *deadline) Err() error {
	select {
	case <-d.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestTheEndOfAContextEndsWhateverTheConnectionDoes(t *testing.T) {
	exec := func(ctx context.Context, c *wire.Conn) error {
		_, err := c.Exec(ctx, "INSERT INTO t VALUES (1)", nil)
		return err
	}
	query := func(ctx context.Context, c *wire.Conn) error {
		_, err := c.Query(ctx, "SELECT 1", nil)
		return err
	}
	rest := func(ctx context.Context, c *wire.Conn) error {
		rows, err := c.Query(ctx, "SELECT 1", nil)
		if err != nil {
			return errors.New("the query itself failed")
		}
		for err == nil {
			err = rows.Next(row(1))
		}
		if rows.Next(row(1)) != io.EOF {
			return errors.New("the rows are still open")
		}
		return err
	}
	closing := func(ctx context.Context, c *wire.Conn) error {
		rows, err := c.Query(ctx, "SELECT 1", nil)
		if err != nil {
			return errors.New("the query itself failed")
		}
		return rows.Close()
	}
	answer := message(6, 1, 1)
	part := rowsOf(true, "a", 1)
	half := func(b []byte) []byte { return b[:len(b)/2] }
	points := map[string]struct {
		call func(context.Context, *wire.Conn) error
		node func(conn net.Conn) error // until the context ends; nil for none but that the call writes
		sent bool
	}{
		"nothing read":          {exec, nil, false},
		"some of it read":       {exec, func(c net.Conn) error { _, err := io.ReadFull(c, make([]byte, 3)); return err }, true},
		"no answer":             {exec, func(c net.Conn) error { return answerWith(c, nil) }, true},
		"some of the header":    {exec, func(c net.Conn) error { return answerWith(c, answer[:5]) }, true},
		"no body":               {exec, func(c net.Conn) error { return answerWith(c, answer[:8]) }, true},
		"some of the body":      {exec, func(c net.Conn) error { return answerWith(c, answer[:20]) }, true},
		"query, nothing read":   {query, nil, false},
		"query, no answer":      {query, func(c net.Conn) error { return answerWith(c, nil) }, true},
		"query, half a part":    {query, func(c net.Conn) error { return answerWith(c, half(part)) }, true},
		"between parts":         {rest, func(c net.Conn) error { return answerWith(c, part) }, true},
		"half of another part":  {rest, func(c net.Conn) error { return answerWith(c, append(part[:len(part):len(part)], half(part)...)) }, true},
		"interruption not read": {closing, func(c net.Conn) error { return answerWith(c, part) }, true},
		"interruption not answered": {closing, func(c net.Conn) error {
			if err := answerWith(c, part); err != nil {
				return err
			}
			return answerWith(c, part)
		}, true},
	}
	for way, begin := range ends {
		for name, point := range points {
			t.Run(way+"/"+name, func(t *testing.T) {
				ctx, end, ended := begin(t)
				over := make(chan struct{})
				here, there := net.Pipe()
				writes := make(chan struct{}, 9)
				c := connectedBy(t, counted{here, writes}, there, func(conn net.Conn) error {
					if _, err := io.ReadFull(conn, make([]byte, 8)); err != nil {
						return err
					}
					if <-writes; point.node == nil {
						<-writes
					} else if err := point.node(conn); err != nil {
						return err
					}
					end()
					<-over
					return nil
				})
				err := point.call(ctx, c)
				close(over)
				requireLost(t, c, err, point.sent)
				require.ErrorIs(t, err, ended)
			})
		}
	}
}

// answerWith reads a request and writes something.
func answerWith(conn net.Conn, b []byte) error {
	if _, err := receive(conn); err != nil {
		return err
	}
	_, err := conn.Write(b)
	return err
}

func TestAContextThatHadEndedSendsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := answering(t, leaderStep)
	_, err := c.Exec(ctx, "INSERT INTO t VALUES (1)", nil)
	require.Equal(t, context.Canceled, err)
	_, err = c.Query(ctx, "SELECT 1", nil)
	require.Equal(t, context.Canceled, err)
	usable(t, c)
}

// late ends a context when the last of what it waits for has been read.
type late struct {
	net.Conn
	end func()
}

func (l *late) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if l.end != nil {
		l.end()
		l.end = nil
	}
	return n, err
}

func TestAContextThatEndsJustAfterTheAnswerHarmsNothing(t *testing.T) {
	for way, begin := range ends {
		t.Run(way, func(t *testing.T) {
			here, there := net.Pipe()
			conn := &late{Conn: here}
			c := connectedBy(t, conn, there, func(conn net.Conn) error {
				return play(conn, []step{{whatever, message(6, 3, 4)}, leaderStep, {whatever, rowsOf(false, "a", 1)}, leaderStep})
			})
			ctx, end, _ := begin(t)
			conn.end = end
			res, err := c.Exec(ctx, "INSERT INTO t VALUES (1)", nil)
			require.NoError(t, err)
			id, _ := res.LastInsertId()
			require.EqualValues(t, 3, id)
			usable(t, c)

			ctx, end, ended := begin(t)
			conn.end = end
			rows, err := c.Query(ctx, "SELECT 1", nil)
			require.NoError(t, err)
			require.Equal(t, ended, rows.Next(row(1)))
			require.Equal(t, io.EOF, rows.Next(row(1)))
			require.NoError(t, rows.Close())
			usable(t, c)
		})
	}
}
