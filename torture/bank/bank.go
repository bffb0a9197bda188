// Package bank is the work that the torture disturbs, and the audit afterwards.
//
// Fifty writers move money between accounts. Each movement is one transaction:
// an entry in the ledger and two balances. So every balance can be worked out
// from the entries: half a transaction shows, whichever half it is. An entry
// names its writer and that writer's sequence number, and its id is its place in
// the order of commits: a lost, a doubled and a reordered one show too.
package bank

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

const (
	accounts = 20
	balance  = 1000

	tables = `
CREATE TABLE IF NOT EXISTS account (
	id      INTEGER PRIMARY KEY,
	base    INTEGER NOT NULL, -- what it held before the first entry
	balance INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS entry (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	run    INTEGER NOT NULL,
	writer INTEGER NOT NULL,
	seq    INTEGER NOT NULL,
	debit  INTEGER NOT NULL REFERENCES account,
	credit INTEGER NOT NULL REFERENCES account,
	amount INTEGER NOT NULL,
	note   BLOB NOT NULL -- worked out from the rest
);
CREATE INDEX IF NOT EXISTS entry_debit ON entry (debit);
CREATE INDEX IF NOT EXISTS entry_credit ON entry (credit);
`

	// folding forgets the entries, whose sums the balances are. Without it the
	// ledger would grow from run to run.
	folding  = "UPDATE account SET base = balance; DELETE FROM entry"
	foldFrom = 5000 // entries
)

// on is what a lease, a transaction and a connection share.
type on interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func exec(ctx context.Context, db on, query string, args ...any) error {
	_, err := db.ExecContext(ctx, query, args...)
	return err
}

// prepare makes the tables and the accounts, or folds a long ledger.
func prepare(ctx context.Context, db on) error {
	if err := exec(ctx, db, tables); err != nil {
		return err
	}
	var n int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM account").Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return exec(ctx, db, "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < ?1) INSERT INTO account SELECT id, ?2, ?2 FROM n", accounts, balance)
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM entry").Scan(&n); err != nil || n < foldFrom {
		return err
	}
	return exec(ctx, db, folding)
}

// note is what an entry's note must be: mostly short, sometimes of several pages.
func note(run, writer, seq int) []byte {
	word := fmt.Appendf(nil, "%d/%d/%d ", run, writer, seq)
	times := 1 + seq%7
	if seq%10 == 0 {
		times = 1000
	}
	return bytes.Repeat(word, times)
}

// Ack is a promise that an entry is permanent.
type Ack struct {
	Writer, Seq int
	ID          int64
}

func (a Ack) String() string { return fmt.Sprintf("ack %d %d %d", a.Writer, a.Seq, a.ID) }

// ParseAck reads what String wrote.
func ParseAck(line string) (a Ack, ok bool) {
	f := strings.Fields(line)
	if len(f) != 4 || f[0] != "ack" {
		return a, false
	}
	var errs [3]error
	a.Writer, errs[0] = strconv.Atoi(f[1])
	a.Seq, errs[1] = strconv.Atoi(f[2])
	a.ID, errs[2] = strconv.ParseInt(f[3], 10, 64)
	return a, errs == [3]error{}
}

// Report sorts what a writing process said into promises and complaints.
func Report(lines []string) (acks []Ack, complaints []string) {
	for _, line := range lines {
		if ack, ok := ParseAck(line); ok {
			acks = append(acks, ack)
		} else if complaint, ok := strings.CutPrefix(line, errorPrefix); ok {
			complaints = append(complaints, complaint)
		}
	}
	return acks, complaints
}
