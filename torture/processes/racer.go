package processes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sqlane/sqlane/pool"
)

// Racer and Holder are the roles of the processes.
const (
	Racer  = "racer"
	Holder = "holder"
)

// Setup is what a process is told.
type Setup struct {
	Path, Journal string
	ID            int // of its own counter, which nobody else adds to
	Goroutines    int
}

// What the processes say.
const (
	acknowledged = "ack"
	holding      = "holding"
	errorPrefix  = "error "
)

func say(line string) { _, _ = os.Stdout.WriteString(line + "\n") }

func fail(err error) error {
	if err != nil {
		say(errorPrefix + strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return err
}

const tables = "CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL); INSERT INTO counter VALUES (0, 0) ON CONFLICT DO NOTHING"

func (s Setup) open(ctx context.Context) (*pool.Pool, error) {
	p, err := pool.Open(ctx, pool.Config{
		Path: s.Path, JournalMode: pool.JournalMode(s.Journal), MaxConns: 4, BusyTimeout: time.Minute, AcquireTimeout: 2 * time.Minute,
		Synchronous: "off", // the power stays on, and so they meet oftener
	})
	if err != nil {
		return nil, err
	}
	return p, p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		if _, err := tx.ExecContext(ctx, tables); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO counter VALUES (?, 0)", s.ID)
		return err
	})
}

// Race adds to two counters, its own and everybody's, again and again, until
// standard input ends. In every snapshot the latter is the sum of the former.
func Race(text []byte) error {
	var s Setup
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	p, err := s.open(ctx)
	if err != nil {
		return fail(err)
	}
	var wg sync.WaitGroup
	for range s.Goroutines {
		wg.Go(func() {
			for ctx.Err() == nil {
				err := s.step(context.WithoutCancel(ctx), p)
				if fail(err) != nil {
					return
				}
			}
		})
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	stop()
	wg.Wait()
	return fail(errors.Join(err, p.Close()))
}

func (s Setup) step(ctx context.Context, p *pool.Pool) error {
	const add = "UPDATE counter SET n = n + 1 WHERE id IN (0, ?)"
	inOne := func(ctx context.Context, tx *pool.Tx) error {
		_, err := tx.ExecContext(ctx, add, s.ID)
		return err
	}
	var err error
	switch rand.IntN(7) {
	case 0, 1:
		err = p.Batch(ctx, inOne)
	case 2:
		err = p.InTx(ctx, pool.Immediate, s.readAndAdd)
	case 3:
		err = p.InTx(ctx, pool.Exclusive, s.readAndAdd)
	case 4:
		err = p.InTx(ctx, pool.Deferred, s.readAndAdd, pool.Repeatable())
	case 5:
		var l *pool.Lease
		if l, err = p.Acquire(ctx); err == nil {
			_, err = l.ExecContext(ctx, add, s.ID)
			l.Release()
		}
	case 6:
		return p.View(ctx, consistent)
	}
	if err == nil {
		say(acknowledged)
	}
	return err
}

// readAndAdd would lose updates if anybody could write in between.
func (s Setup) readAndAdd(ctx context.Context, tx *pool.Tx) error {
	for _, id := range []int{0, s.ID} {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT n FROM counter WHERE id = ?", id).Scan(&n); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE counter SET n = ? WHERE id = ?", n+1, id); err != nil {
			return err
		}
	}
	return nil
}

func consistent(ctx context.Context, tx *pool.Tx) error {
	var all, sum int
	if err := tx.QueryRowContext(ctx, "SELECT n FROM counter WHERE id = 0").Scan(&all); err != nil {
		return err
	}
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(sum(n), 0) FROM counter WHERE id > 0").Scan(&sum); err != nil {
		return err
	}
	if all != sum {
		return fmt.Errorf("one view saw %d in everybody's counter and %d in the others", all, sum)
	}
	return nil
}

// Hold takes the write lock, writes, says so and waits to be killed.
func Hold(text []byte) error {
	var s Setup
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	p, err := s.open(context.Background())
	if err != nil {
		return fail(err)
	}
	return fail(p.InTx(context.Background(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		if err := s.readAndAdd(ctx, tx); err != nil {
			return err
		}
		say(holding)
		_, err := io.Copy(io.Discard, os.Stdin)
		return errors.Join(err, errors.New("nobody killed it"))
	}))
}
