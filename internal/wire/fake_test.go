package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/internal/wire"
)

// raw is put into a message as it is.
type raw []byte

// message returns a message of a kind: texts end with a NUL byte and are padded, numbers
// are as wide as they are.
func message(kind byte, parts ...any) []byte {
	b := []byte{0, 0, 0, 0, kind, 0, 0, 0}
	for _, part := range parts {
		switch part := part.(type) {
		case uint32:
			b = binary.LittleEndian.AppendUint32(b, part)
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, part)
		case int:
			b = binary.LittleEndian.AppendUint64(b, uint64(part))
		case string:
			b = append(append(b, part...), 0)
			for len(b)%8 != 0 {
				b = append(b, 0)
			}
		case raw:
			b = append(b, part...)
		default:
			panic(fmt.Sprintf("%T", part))
		}
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)/8-1))
	return b
}

// step is a request that a node waits for, and what it answers.
type step struct {
	ask, tell []byte
}

// whatever stands for a request that is read whole and not looked at.
var whatever []byte

var handshake = []byte{1, 0, 0, 0, 0, 0, 0, 0}

// receive reads a request.
func receive(from io.Reader) ([]byte, error) {
	b := make([]byte, 8)
	if _, err := io.ReadFull(from, b); err != nil {
		return nil, err
	}
	b = append(b, make([]byte, 8*binary.LittleEndian.Uint32(b))...)
	_, err := io.ReadFull(from, b[8:])
	return b, err
}

// play takes the steps, and closes the connection behind the last.
func play(conn net.Conn, steps []step) error {
	defer conn.Close()
	b := make([]byte, 8)
	if _, err := io.ReadFull(conn, b); err != nil || !bytes.Equal(b, handshake) {
		return fmt.Errorf("handshake % x: %w", b, err)
	}
	for i, s := range steps {
		b, err := receive(conn)
		if err != nil {
			return fmt.Errorf("request %d: %w", i, err)
		}
		if s.ask != nil && !bytes.Equal(b, s.ask) {
			return fmt.Errorf("request %d is\n% x, not\n% x", i, b, s.ask)
		}
		if s.tell == nil {
			continue
		}
		if _, err := conn.Write(s.tell); err != nil {
			return fmt.Errorf("answer %d: %w", i, err)
		}
	}
	return nil
}

// connected returns a connection to a node that does what it is told. It is closed at
// the end of the test, which waits for the node.
func connected(t *testing.T, node func(net.Conn) error) *wire.Conn {
	t.Helper()
	here, there := net.Pipe()
	return connectedBy(t, here, there, node)
}

func connectedBy(t *testing.T, here, there net.Conn, node func(net.Conn) error) *wire.Conn {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- node(there) }()
	c, err := wire.Dial(t.Context(), func(context.Context, string) (net.Conn, error) { return here, nil }, "node")
	require.NoError(t, err)
	t.Cleanup(func() {
		c.Close()
		require.NoError(t, <-done)
	})
	return c
}

// answering returns a connection to a node that takes the steps.
func answering(t *testing.T, steps ...step) *wire.Conn {
	t.Helper()
	return connected(t, func(conn net.Conn) error { return play(conn, steps) })
}

// within returns a context that ends the test's waiting before the test is ended.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// usable asks for the leader, as the last step of a node has it.
func usable(t *testing.T, c *wire.Conn) {
	t.Helper()
	require.NoError(t, c.Lost())
	n, err := c.Leader(within(t))
	require.NoError(t, err)
	require.Equal(t, wire.Node{ID: 7, Address: "there:1"}, n)
}

var leaderStep = step{message(0, 0), message(1, 7, "there:1")}

// requireLost requires that the connection was lost, with something sent or not.
func requireLost(t *testing.T, c *wire.Conn, err error, sent bool) *wire.Lost {
	t.Helper()
	var lost *wire.Lost
	require.ErrorAs(t, err, &lost)
	require.Equal(t, sent, lost.Sent, "sent: %v", err)
	require.Equal(t, error(lost), c.Lost())
	return lost
}
