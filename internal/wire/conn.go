package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// DialFunc makes a connection to an address, of TCP or TLS for instance.
type DialFunc func(ctx context.Context, address string) (net.Conn, error)

// Conn is a connection to a node. It is not safe for concurrent use.
//
// Every call takes a context, and its end ends the call at once, whatever the
// connection is doing. One that had ended before leaves the connection as it is; one
// that ends in the midst costs it, since the answer may still come ([Lost]).
type Conn struct {
	net  net.Conn
	in   *bufio.Reader
	out  request // what is on its way
	body []byte  // of the answer read last
	rows *Rows   // those that are open
	lost *Lost   // why it cannot be used any more
}

// Dial connects to the node at the address. dial is nil for TCP. What fails is a
// [Lost] with nothing sent.
func Dial(ctx context.Context, dial DialFunc, address string) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	conn, err := dial(ctx, address)
	if err != nil {
		return nil, &Lost{Err: cause(ctx, err)}
	}
	c := &Conn{net: conn, in: bufio.NewReaderSize(conn, 8<<10)}
	w := watch(ctx, conn)
	defer w.end()
	if _, err := conn.Write(binary.LittleEndian.AppendUint64(nil, version)); err != nil {
		return nil, c.lose(ctx, false, err)
	}
	return c, nil
}

// Lost returns a [*Lost] once the connection cannot be used any more: the first
// failure, or that it was closed. It returns nil before.
func (c *Conn) Lost() error {
	if c.lost == nil {
		return nil
	}
	return c.lost
}

// Close closes the connection. The node rolls back what is open on it. Closing it again
// does nothing.
func (c *Conn) Close() error {
	if c.lost != nil {
		return nil
	}
	c.lost = &Lost{Err: errClosed}
	return c.net.Close()
}

// lose closes the connection, because of err, and returns the Lost that says so.
func (c *Conn) lose(ctx context.Context, sent bool, err error) error {
	c.lost = &Lost{Sent: sent, Err: cause(ctx, err)}
	c.net.Close() // it is of no use, whatever this says
	return c.lost
}

// cause is the context's error if that has ended: what failed then failed for it.
func cause(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	return err
}

// ready returns why no call can begin.
func (c *Conn) ready(ctx context.Context) error {
	switch {
	case c.lost != nil:
		// What has ended the connection is no part of this call, whose context may be another.
		return &Lost{Err: fmt.Errorf("lost before (%v): %w", c.lost.Err, net.ErrClosed)}
	case c.rows != nil:
		return errRowsOpen
	}
	return ctx.Err()
}

// ask sends a request and reads its answer, which is of the kind wanted or a failure.
func (c *Conn) ask(ctx context.Context, what, want byte, write func(*request), read func(*answer)) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	c.out.begin(what)
	write(&c.out)
	if err := c.out.finish(); err != nil {
		return err
	}
	w := watch(ctx, c.net)
	defer w.end()
	if err := c.send(ctx); err != nil {
		return err
	}
	return c.answered(ctx, want, read)
}

// answered reads the next answer, which is of the kind wanted or a failure.
func (c *Conn) answered(ctx context.Context, want byte, read func(*answer)) error {
	a, err := c.receive(ctx)
	if err == nil {
		err = c.expect(ctx, &a, want)
	}
	if err != nil {
		return err
	}
	if read(&a); a.short {
		return c.lose(ctx, true, errMalformed)
	}
	return nil
}

// send writes what is on its way by one write.
func (c *Conn) send(ctx context.Context) error {
	n, err := c.net.Write(c.out.bytes)
	c.out.clear()
	if err != nil {
		return c.lose(ctx, n > 0, err)
	}
	return nil
}

// receive reads one message. It is valid until the next one is read.
func (c *Conn) receive(ctx context.Context) (answer, error) {
	var header [word]byte
	if _, err := io.ReadFull(c.in, header[:]); err != nil {
		return answer{}, c.lose(ctx, true, err)
	}
	n := uint64(binary.LittleEndian.Uint32(header[:])) * word
	if n > maxMessage {
		return answer{}, c.lose(ctx, true, fmt.Errorf("%w: it says that it has %d bytes; one has at most %d", errMalformed, n, maxMessage))
	}
	if cap(c.body) > keep {
		c.body = nil
	}
	c.body = c.body[:0]
	for read := 0; read < int(n); read = len(c.body) {
		// No more at once than has come already, since the length may be a lie.
		c.body = grown(c.body, min(int(n)-read, max(read, keep)))
		if _, err := io.ReadFull(c.in, c.body[read:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return answer{}, c.lose(ctx, true, err)
		}
	}
	return answer{kind: header[4], bytes: c.body}, nil
}

// expect returns the failure that came instead of what was wanted.
func (c *Conn) expect(ctx context.Context, a *answer, want byte) error {
	switch a.kind {
	case want:
		return nil
	case tellFailure:
		f, err := a.failure()
		if err != nil {
			return c.lose(ctx, true, err)
		}
		return f
	}
	return c.lose(ctx, true, fmt.Errorf("%w: it is of kind %d, not %d", errMalformed, a.kind, want))
}

// watcher ends what a connection is doing when a context ends.
type watcher struct {
	net  net.Conn
	stop func() bool
	ran  chan struct{}
}

// past is a deadline that ends reading and writing at once.
var past = time.Unix(1, 0)

func watch(ctx context.Context, conn net.Conn) *watcher {
	w := &watcher{net: conn}
	if ctx.Done() == nil {
		return w
	}
	w.ran = make(chan struct{})
	w.stop = context.AfterFunc(ctx, func() {
		defer close(w.ran)
		conn.SetDeadline(past) // on a connection that is closed it does nothing, which is as well
	})
	return w
}

// end ends watching. A context that ended just before leaves no trace on the connection.
// It can be called again.
func (w *watcher) end() {
	if w.stop != nil && !w.stop() {
		<-w.ran
		w.net.SetDeadline(time.Time{})
	}
	w.stop = nil
}
