package pool_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
)

// accounts is a database for the examples.
func accounts(ctx context.Context) *pool.Pool {
	p, err := pool.Open(ctx, pool.Config{Path: pool.Memory})
	if err != nil {
		panic(err)
	}
	_, err = p.DB().ExecContext(ctx, `
		CREATE TABLE accounts (name TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0));
		INSERT INTO accounts VALUES ('ann', 10), ('bob', 0)`)
	if err != nil {
		panic(err)
	}
	return p
}

func add(ctx context.Context, tx *pool.Tx, name string, amount int) error {
	_, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance + ? WHERE name = ?", amount, name)
	return err
}

func ExamplePool_InTx() {
	ctx := context.Background()
	p := accounts(ctx)
	defer p.Close()
	transfer := func(amount int) error {
		return p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			if err := add(ctx, tx, "bob", amount); err != nil {
				return err
			}
			return add(ctx, tx, "ann", -amount)
		})
	}
	fmt.Println(transfer(7))
	fmt.Println(dberr.Kind(transfer(7)) == dberr.ErrCheck) // both updates are undone
	// Output:
	// <nil>
	// true
}

func ExamplePool_Batch() {
	ctx := context.Background()
	p := accounts(ctx)
	defer p.Close()
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { // those who wait for the write lane together share a commit
			err := p.Batch(ctx, func(ctx context.Context, tx *pool.Tx) error { return add(ctx, tx, "bob", 1) })
			if err != nil {
				fmt.Println(err)
			}
		})
	}
	wg.Wait()
	fmt.Println(p.Stats().BatchMembers, "members")
	// Output: 100 members
}

func ExamplePool_View() {
	ctx := context.Background()
	p := accounts(ctx)
	defer p.Close()
	err := p.View(ctx, func(ctx context.Context, tx *pool.Tx) error {
		var total int // of one moment, whatever is committed meanwhile
		if err := tx.QueryRowContext(ctx, "SELECT sum(balance) FROM accounts").Scan(&total); err != nil {
			return err
		}
		fmt.Println("total", total)
		return add(ctx, tx, "bob", 1)
	})
	fmt.Println(errors.Is(err, pool.ErrReadOnly))
	// Output:
	// total 10
	// true
}

func ExamplePool_Begin() {
	ctx := context.Background()
	p := accounts(ctx)
	defer p.Close()
	tx, err := p.Begin(ctx, pool.Exclusive)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tx.Rollback(ctx) // does nothing after Commit
	if err := add(ctx, tx, "bob", 1); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tx.Commit(ctx))
	// Output: <nil>
}

func ExamplePool_DB() {
	ctx := context.Background()
	p := accounts(ctx)
	defer p.Close()
	var n int
	err := p.DB().QueryRowContext(ctx, "SELECT count(*) FROM accounts").Scan(&n)
	fmt.Println(n, err)
	// Output: 2 <nil>
}

func ExampleRepeatable() {
	ctx := context.Background()
	p := accounts(ctx)
	defer p.Close()
	err := p.InTx(ctx, pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		var balance int
		if err := tx.QueryRowContext(ctx, "SELECT balance FROM accounts WHERE name = 'ann'").Scan(&balance); err != nil {
			return err
		}
		return add(ctx, tx, "bob", balance) // where another commit came between, all of this runs again
	}, pool.Repeatable())
	fmt.Println(err)
	// Output: <nil>
}

func ExamplePool_Watch() {
	ctx := context.Background()
	p := accounts(ctx)
	defer p.Close()
	var total int
	for err := range p.Watch(ctx, func(ctx context.Context, tx *pool.Tx) error {
		return tx.QueryRow(ctx, "SELECT sum(balance) FROM accounts").Scan(&total)
	}) {
		fmt.Println(total, err)
		if total == 111 {
			break
		}
		if err := p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			return add(ctx, tx, "bob", 111-total)
		}); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// 10 <nil>
	// 111 <nil>
}

func ExampleTx_AfterCommit() {
	ctx := context.Background()
	p := accounts(ctx)
	defer p.Close()
	err := p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		tx.AfterCommit(func() { fmt.Println("told everybody") })
		return add(ctx, tx, "bob", 1)
	})
	fmt.Println(err)
	// Output:
	// told everybody
	// <nil>
}
