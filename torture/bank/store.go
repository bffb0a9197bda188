package bank

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/sqlane/sqlane/pool"
)

// PrepareStore makes the tables and the accounts in a Store.
func PrepareStore(ctx context.Context, s pool.Store) error {
	return s.StoreInTx(ctx, pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error { return prepare(ctx, tx) })
}

// MoveInStore is one movement, in one of the ways that a Store offers. It returns when that
// is acknowledged. doubt says that it was tried before and nobody knows whether it took
// place: then it looks first, in the transaction in which it would do it.
func (s Setup) MoveInStore(ctx context.Context, in pool.Store, writer, seq int, doubt bool) (ack Ack, found bool, err error) {
	rng := rand.New(rand.NewPCG(s.Seed, uint64(s.Run)<<40|uint64(writer)<<20|uint64(seq)))
	debit, credit, amount := 1+rng.IntN(accounts), 1+rng.IntN(accounts), rng.IntN(10)
	half := func(ctx context.Context, tx pool.StoreTx) error {
		if err := exec(ctx, tx, "UPDATE account SET balance = balance - ? WHERE id = ?", amount, debit); err != nil {
			return err
		}
		return errUndo
	}
	move := func(ctx context.Context, tx pool.StoreTx) error {
		ack, found = Ack{Writer: writer, Seq: seq}, false
		if doubt {
			switch err := tx.QueryRowContext(ctx, "SELECT id FROM entry WHERE run = ? AND writer = ? AND seq = ?", s.Run, writer, seq).Scan(&ack.ID); {
			case err == nil:
				found = true
				return nil
			case !errors.Is(err, sql.ErrNoRows):
				return err
			}
		}
		err := tx.QueryRowContext(ctx, "INSERT INTO entry (run, writer, seq, debit, credit, amount, note) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
			s.Run, writer, seq, debit, credit, amount, note(s.Run, writer, seq)).Scan(&ack.ID)
		if err != nil {
			return err
		}
		return errors.Join(
			exec(ctx, tx, "UPDATE account SET balance = balance - ? WHERE id = ?", amount, debit),
			exec(ctx, tx, "UPDATE account SET balance = balance + ? WHERE id = ?", amount, credit))
	}
	switch way := rng.IntN(10); {
	case way == 0 || doubt:
		err = in.StoreInTx(ctx, pool.Immediate, move)
	case way == 1:
		err = in.StoreInTx(ctx, pool.Exclusive, move, pool.Repeatable())
	case way == 2:
		err = in.StoreInTx(ctx, pool.Deferred, func(ctx context.Context, tx pool.StoreTx) error {
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT sum(balance) FROM account").Scan(&n); err != nil {
				return err
			}
			if n != accounts*balance {
				return fmt.Errorf("the accounts hold %d, not %d", n, accounts*balance)
			}
			return move(ctx, tx)
		}, pool.Repeatable())
	case way == 3:
		err = in.StoreInTx(ctx, pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
			if err := tx.Savepoint(ctx, half); !errors.Is(err, errUndo) {
				return fmt.Errorf("an undone savepoint: %w", err)
			}
			return tx.Savepoint(ctx, move)
		})
	case way == 4:
		if err = in.StoreBatch(ctx, half); !errors.Is(err, errUndo) {
			return ack, false, fmt.Errorf("an undone batch: %w", err)
		}
		fallthrough
	default:
		err = in.StoreBatch(ctx, move)
	}
	return ack, found, err
}
