package bank

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

// Setup is what a writing process is told.
type Setup struct {
	Path        string
	Journal     string
	Synchronous string
	Run         int // each has its own number
	Writers     int
	Seed        uint64
	Hasty       bool // it promises before it commits: the planted mistake

	// Early is told of each promise before its commit, by MoveInStore alone.
	Early func(Ack) `json:"-"`
}

// What a writing process says beside its promises.
const (
	Opened      = "open"
	errorPrefix = "error "
)

// Work is a writing process: a child's role. It reports each promise when it has
// it, and works until its standard input ends.
func Work(text []byte) error {
	var s Setup
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	p, err := s.Open(ctx)
	if err != nil {
		complain(err)
		return err
	}
	say(Opened)
	var wg sync.WaitGroup
	for w := range s.Writers {
		wg.Go(func() {
			for seq := 1; ctx.Err() == nil; seq++ {
				ack, err := s.Move(context.WithoutCancel(ctx), p, w, seq)
				if err != nil {
					complain(err)
					return
				}
				if !s.Hasty {
					say(ack.String())
				}
			}
		})
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	stop()
	wg.Wait()
	return errors.Join(err, p.Close())
}

// Config is how a writing process opens its pool.
func (s Setup) Config() pool.Config {
	return pool.Config{
		Path: s.Path, JournalMode: pool.JournalMode(s.Journal), Synchronous: pool.Synchronous(s.Synchronous), MaxConns: 8,
		BusyTimeout:    -1, // nobody else has a lock: a leftover one would be ErrBusy
		AcquireTimeout: time.Minute,
	}
}

// Open opens the pool and makes the tables.
func (s Setup) Open(ctx context.Context) (*pool.Pool, error) {
	p, err := pool.Open(ctx, s.Config())
	if err != nil {
		return nil, err
	}
	if err := Prepare(ctx, p); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Prepare makes the tables, or folds a long ledger.
func Prepare(ctx context.Context, p *pool.Pool) error {
	return p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error { return prepare(ctx, tx) })
}

// say writes a line at once: in one system call, which another's cannot split.
func say(line string) { _, _ = os.Stdout.WriteString(line + "\n") }

func complain(err error) { say(errorPrefix + strings.ReplaceAll(err.Error(), "\n", " ")) }

// errUndo is what a function fails with to have its work undone.
var errUndo = errors.New("undo this")

// Move is one movement, in one of the ways that a pool offers. It returns when
// that is acknowledged.
func (s Setup) Move(ctx context.Context, p *pool.Pool, writer, seq int) (ack Ack, err error) {
	rng := rand.New(rand.NewPCG(s.Seed, uint64(s.Run)<<40|uint64(writer)<<20|uint64(seq)))
	debit, credit, amount := 1+rng.IntN(accounts), 1+rng.IntN(accounts), rng.IntN(10)
	half := func(ctx context.Context, tx *pool.Tx) error {
		if err := exec(ctx, tx, "UPDATE account SET balance = balance - ? WHERE id = ?", amount, debit); err != nil {
			return err
		}
		return errUndo
	}
	move := func(ctx context.Context, tx *pool.Tx) error {
		ack = Ack{Writer: writer, Seq: seq}
		err := tx.QueryRowContext(ctx, "INSERT INTO entry (run, writer, seq, debit, credit, amount, note) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
			s.Run, writer, seq, debit, credit, amount, note(s.Run, writer, seq)).Scan(&ack.ID)
		if err != nil {
			return err
		}
		if err := exec(ctx, tx, "UPDATE account SET balance = balance - ? WHERE id = ?", amount, debit); err != nil {
			return err
		}
		if s.Hasty {
			say(ack.String())
		}
		return exec(ctx, tx, "UPDATE account SET balance = balance + ? WHERE id = ?", amount, credit)
	}
	switch rng.IntN(10) {
	case 0:
		err = p.InTx(ctx, pool.Immediate, move)
	case 1:
		err = p.InTx(ctx, pool.Exclusive, move)
	case 2:
		err = p.InTx(ctx, pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT sum(balance) FROM account").Scan(&n); err != nil {
				return err
			}
			if n != accounts*balance {
				return fmt.Errorf("the accounts hold %d, not %d", n, accounts*balance)
			}
			return move(ctx, tx)
		}, pool.Repeatable())
	case 3:
		err = p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			if err := tx.Savepoint(ctx, half); !errors.Is(err, errUndo) {
				return fmt.Errorf("an undone savepoint: %w", err)
			}
			return tx.Savepoint(ctx, move)
		})
	case 4:
		if err := p.InTx(ctx, pool.Immediate, half); !errors.Is(err, errUndo) {
			return ack, fmt.Errorf("an undone transaction: %w", err)
		}
		var tx *pool.Tx
		if tx, err = p.Begin(ctx, pool.Immediate); err == nil {
			if err = move(ctx, tx); err == nil {
				err = tx.Commit(ctx)
			}
			err = errors.Join(err, tx.Rollback(ctx))
		}
	case 5:
		if err := p.Batch(ctx, half); !errors.Is(err, errUndo) {
			return ack, fmt.Errorf("an undone batch: %w", err)
		}
		fallthrough
	default:
		err = p.Batch(ctx, move)
	}
	return ack, err
}
