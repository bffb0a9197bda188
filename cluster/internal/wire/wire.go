// Package wire is a stopgap until the product's own is there.
package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

type Role uint64

const (
	Voter Role = iota
	StandBy
	Spare
)

func (r Role) String() string { return [...]string{"voter", "stand-by", "spare"}[r] }

type Node struct {
	ID      uint64
	Address string
	Role    Role
}

type Conn struct{ conn net.Conn }

type DialFunc = func(ctx context.Context, address string) (net.Conn, error)

func Dial(ctx context.Context, dial DialFunc, address string) (*Conn, error) {
	conn, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(binary.LittleEndian.AppendUint64(nil, 1)); err != nil {
		conn.Close()
		return nil, err
	}
	return &Conn{conn}, nil
}

func (c *Conn) Close() error { return c.conn.Close() }

func text(s string) []byte { return append([]byte(s), make([]byte, 8-len(s)%8)...) }

func (c *Conn) call(ctx context.Context, kind byte, body ...any) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var b []byte
	for _, v := range body {
		switch v := v.(type) {
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, v)
		case string:
			b = append(b, text(v)...)
		}
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(b)/8))
	head = append(head, kind, 0, 0, 0)
	if _, err := c.conn.Write(append(head, b...)); err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	if _, err := io.ReadFull(c.conn, head[:8]); err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	b = make([]byte, 8*binary.LittleEndian.Uint32(head))
	if _, err := io.ReadFull(c.conn, b); err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	if head[4] == 0 {
		message, _, _ := strings.Cut(string(b[8:]), "\x00")
		return nil, fmt.Errorf("dqlite: %s (code %d)", message, binary.LittleEndian.Uint64(b))
	}
	return b, nil
}

func (c *Conn) Leader(ctx context.Context) (Node, error) {
	b, err := c.call(ctx, 0, uint64(0))
	if err != nil {
		return Node{}, err
	}
	address, _, _ := strings.Cut(string(b[8:]), "\x00")
	return Node{ID: binary.LittleEndian.Uint64(b), Address: address}, nil
}

func (c *Conn) Members(ctx context.Context) ([]Node, error) {
	b, err := c.call(ctx, 16, uint64(1))
	if err != nil {
		return nil, err
	}
	nodes := make([]Node, binary.LittleEndian.Uint64(b))
	b = b[8:]
	for i := range nodes {
		address, _, _ := strings.Cut(string(b[8:]), "\x00")
		nodes[i].ID, nodes[i].Address = binary.LittleEndian.Uint64(b), address
		b = b[8+len(text(address)):]
		nodes[i].Role = Role(binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	return nodes, nil
}

func (c *Conn) Add(ctx context.Context, id uint64, address string) error {
	_, err := c.call(ctx, 12, id, address)
	return err
}

func (c *Conn) Assign(ctx context.Context, id uint64, role Role) error {
	_, err := c.call(ctx, 13, id, uint64(role))
	return err
}

func (c *Conn) Remove(ctx context.Context, id uint64) error {
	_, err := c.call(ctx, 14, id)
	return err
}

func (c *Conn) Transfer(ctx context.Context, id uint64) error {
	_, err := c.call(ctx, 17, id)
	return err
}

func (c *Conn) Describe(ctx context.Context) error {
	_, err := c.call(ctx, 18, uint64(0))
	return err
}
