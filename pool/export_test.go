package pool

import (
	"errors"
	"time"
)

// TakeAnyTime has batches go on for as long as somebody waits to join: a slow
// machine would end them early.
func TakeAnyTime(p *Pool) { p.batchTime = time.Hour }

// Break makes a connection of DB's count as broken.
func Break(conn any) {
	c := conn.(*facadeConn).lease.conn
	c.mu.Lock()
	c.broken = errors.New("broken by a test")
	c.mu.Unlock()
}
