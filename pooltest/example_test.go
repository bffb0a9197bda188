package pooltest_test

import (
	"context"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
)

// The migrations are an embed.FS as a rule.
var migrations = fstest.MapFS{"00001_accounts.sql": {Data: []byte(`
-- +goose Up
CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL) STRICT;
INSERT INTO accounts VALUES (1, 100), (2, 0);
`)}}

// transfer is what is to be tested.
func transfer(ctx context.Context, p *pool.Pool, from, to, amount int) error {
	return p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance - ? WHERE id = ?", amount, from); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance + ? WHERE id = ?", amount, to)
		return err
	})
}

// A test of what happens when SQLite loses the transaction.
func Example() {
	test := func(t testing.TB) {
		p := pooltest.New(t, pooltest.Migrations(migrations))
		balance := func() (n int) {
			if err := p.Reader().QueryRow(t.Context(), "SELECT balance FROM accounts WHERE id = 1").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}

		pooltest.Fail(t, p, pooltest.LostTx)
		fmt.Println(transfer(t.Context(), p, 1, 2, 10) != nil, balance())
		pooltest.Heal(t, p)
		fmt.Println(transfer(t.Context(), p, 1, 2, 10), balance())
	}
	inAFunction(test)
	// Output:
	// true 100
	// <nil> 90
}

// A test of a repository's queries: here one of the two reads the whole table.
func ExamplePlans() {
	statements := []pool.Statement{ // repo.Statements(), as a rule
		{Name: "GetAccount", SQL: "SELECT * FROM accounts WHERE id = ?", Reads: true},
		{Name: "ListPoor", SQL: "SELECT * FROM accounts WHERE balance < ?", Reads: true},
	}
	test := func(t testing.TB) {
		p := pooltest.New(t, pooltest.Migrations(migrations))
		pooltest.Plans(t, p, statements, pooltest.NoScan)
	}
	inAFunction(test)
	// Output:
	// pooltest: ListPoor reads all of accounts: its plan says "SCAN accounts"; make an index on the columns by which it chooses rows, or pooltest.Waive("ListPoor", why)
}
