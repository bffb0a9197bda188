package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
)

// errWrong says that a row was acknowledged and is not there, or another one was read.
var errWrong = errors.New("wrong result")

// hot is how many rows are read.
const hot = 500

// text is what a row has, so that it is of about a hundred bytes.
var text = strings.Repeat("a durable row, ", 6)

// as is what the benchmark does for itself.
func (b *bench) as(ctx context.Context, database string, fn func(s *dqlite.Store) error) error {
	s, err := dqlite.Open(ctx, dqlite.Config{Members: b.nodes.Addresses(), Database: database, Plaintext: true})
	if err != nil {
		return err
	}
	return errors.Join(fn(s), s.Close())
}

// prepare makes a database with the rows that are read.
func (b *bench) prepare(ctx context.Context, database string) error {
	return b.as(ctx, database, func(s *dqlite.Store) error {
		return s.StoreInTx(ctx, pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
			for _, statement := range []string{
				"CREATE TABLE notes (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, text TEXT NOT NULL)",
				"CREATE INDEX notes_owner ON notes (owner)",
				fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO notes (id, owner, text) SELECT i, -i, '%s' FROM n", hot, text),
			} {
				if _, err := tx.ExecContext(ctx, statement); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// verify counts the rows. All that were acknowledged are there; of what failed nobody
// knows. What is there besides was written twice, which is counted as a failure of whoever
// is not sqlane.
func (b *bench) verify(ctx context.Context, database string, p peer, written int, a *answer) error {
	var rows int
	err := b.as(ctx, database, func(s *dqlite.Store) error {
		return s.StoreReader().QueryRowContext(ctx, "SELECT count(*) FROM notes").Scan(&rows)
	})
	if err != nil {
		return err
	}
	rows -= hot
	most := written
	for _, n := range a.Errors {
		most += int(n)
	}
	switch {
	case rows < written || rows > most && p.ours:
		return fmt.Errorf("%w: %d rows of %d that were acknowledged and %d that failed", errWrong, rows, written, most-written)
	case rows > most:
		a.Errors["a row that was written twice"] = int64(rows - most)
	}
	return nil
}
