package wire_test

import (
	"bytes"
	"context"
	"database/sql/driver"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/internal/wire"
)

// canned is a connection on which everything has been answered before.
type canned struct {
	io.Reader
}

func (canned) Write(b []byte) (int, error)      { return len(b), nil }
func (canned) Close() error                     { return nil }
func (canned) LocalAddr() net.Addr              { return nil }
func (canned) RemoteAddr() net.Addr             { return nil }
func (canned) SetDeadline(time.Time) error      { return nil }
func (canned) SetReadDeadline(time.Time) error  { return nil }
func (canned) SetWriteDeadline(time.Time) error { return nil }

// FuzzAnswers has every call answered by anything: it returns what is there or an error, and
// ends.
func FuzzAnswers(f *testing.F) {
	calls := []func(context.Context, *wire.Conn) error{
		func(ctx context.Context, c *wire.Conn) error { _, err := c.Leader(ctx); return err },
		func(ctx context.Context, c *wire.Conn) error { _, err := c.Members(ctx); return err },
		func(ctx context.Context, c *wire.Conn) error { _, err := c.Describe(ctx); return err },
		func(ctx context.Context, c *wire.Conn) error { _, err := c.Dump(ctx, "d"); return err },
		func(ctx context.Context, c *wire.Conn) error { return c.Open(ctx, "d") },
		func(ctx context.Context, c *wire.Conn) error { _, err := c.Exec(ctx, "x", nil); return err },
		func(ctx context.Context, c *wire.Conn) error { return readAll(c.Query(ctx, "x", nil)) },
		func(ctx context.Context, c *wire.Conn) error {
			s, err := c.Prepare(ctx, "x")
			if err != nil {
				return err
			}
			if err := readAll(s.Query(ctx, make([]driver.Value, min(max(s.NumInput(), 0), 300)))); err != nil {
				return err
			}
			return s.Close(ctx)
		},
		func(ctx context.Context, c *wire.Conn) error {
			rows, err := c.Query(ctx, "x", nil)
			if err != nil {
				return err
			}
			return rows.Close()
		},
	}
	for i := range calls {
		f.Add(i, message(0, wire.CodeNotLeader, "not leader"))
		f.Add(i, message(3, 1, 7, "there:1", 0))
		f.Add(i, append(message(2, 0), message(4, 0)...))
		f.Add(i, message(9, 1, "d", 8, raw("12345678")))
		f.Add(i, append(rowsOf(true, "a", 1, 2), rowsOf(false, "a", 3)...))
		f.Add(i, append(rowsOf(true, "a", 1), message(8, 0)...))
		f.Add(i, append(message(5, uint32(0), uint32(0), 0), rowsOf(false, "a", 3)...))
		f.Add(i, message(7, 2, "b", "t", raw{0x34, 0, 0, 0, 0, 0, 0, 0}, 3, raw("abc\x00\x00\x00\x00\x00"), "text", lastPart))
	}
	f.Fuzz(func(t *testing.T, which int, answers []byte) {
		c, err := wire.Dial(t.Context(), func(context.Context, string) (net.Conn, error) {
			return canned{bytes.NewReader(answers)}, nil
		}, "node")
		require.NoError(t, err)
		_ = calls[(which%len(calls)+len(calls))%len(calls)](t.Context(), c)
		if c.Lost() == nil { // so nothing is open
			_, err = c.Leader(t.Context())
			require.NotContains(t, errText(err), "open")
		}
		require.NoError(t, c.Close())
	})
}

func readAll(rows *wire.Rows, err error) error {
	for err == nil {
		err = rows.Next(make([]driver.Value, len(rows.Columns())))
	}
	if err == io.EOF {
		return nil
	}
	return err
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
