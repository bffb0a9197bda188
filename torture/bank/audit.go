package bank

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"

	_ "modernc.org/sqlite" // the audit does not go through what it audits
)

// Auditor looks at a database between the runs of writing processes, and
// remembers what it saw: what was there once is permanent.
type Auditor struct {
	// Doubtful are movements that failed and were done again. Outside WAL mode a
	// commit that failed may have been one: the journal was gone, and only that
	// could not be synced. Doubled counts those.
	Doubtful map[Movement]bool
	Doubled  int

	known ledger
}

// Movement is what its writer knows a movement by.
type Movement struct{ Writer, Seq int }

// ledger is how many entries there are of each writer in each run.
type ledger map[key]int

type key struct{ run, writer int }

func (l ledger) without(run int) ledger {
	others := maps.Clone(l)
	maps.DeleteFunc(others, func(k key, _ int) bool { return k.run == run })
	return others
}

func (l ledger) sum() (n int) {
	for _, of := range l {
		n += of
	}
	return n
}

// books is what the database says.
type books struct {
	entries map[int64]entry
	ledger  ledger
	last    int64 // id, of an entry that is or was
}

type entry struct{ run, writer, seq int }

// Audit looks whether the database is sound, no transaction is there in part,
// and everything is there that was there at the last audit. It counts the
// promises of a run that were not kept. Those must be the newest ones: whatever
// was committed before something that is there is there too.
func (a *Auditor) Audit(ctx context.Context, path string, run int, acks []Ack) (lost int, err error) {
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(path)}).String())
	if err != nil {
		return 0, err
	}
	db.SetMaxOpenConns(1)
	found, err := a.read(ctx, db)
	lost, wrong := a.compare(found, run, acks)
	a.known = found.ledger
	if err = errors.Join(err, wrong, db.Close()); err != nil {
		err = fmt.Errorf("audit: %w", err)
	}
	return lost, err
}

func (a *Auditor) read(ctx context.Context, db *sql.DB) (books, error) {
	b := books{entries: make(map[int64]entry), ledger: make(ledger)}
	a.Doubled = 0
	faults := sound(ctx, db)
	var made bool
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = 'entry'").Scan(&made); err != nil || !made {
		return b, errors.Join(faults, err)
	}
	err := db.QueryRowContext(ctx, "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'entry'), 0)").Scan(&b.last)
	return b, errors.Join(faults, err, a.readEntries(ctx, db, &b), balances(ctx, db))
}

// sound asks SQLite itself.
func sound(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok' UNION ALL SELECT 'a violated foreign key in ' || \"table\" FROM pragma_foreign_key_check")
	if err != nil {
		return err
	}
	defer rows.Close()
	var errs []error
	for rows.Next() {
		var fault string
		if err := rows.Scan(&fault); err != nil {
			return err
		}
		errs = append(errs, errors.New(fault))
	}
	return errors.Join(append(errs, rows.Err())...)
}

// readEntries sees that ids leave no gap, that each writer's numbers are
// 1, 2, 3... in the order of the ids, and that each note is the right one.
func (a *Auditor) readEntries(ctx context.Context, db *sql.DB, b *books) error {
	rows, err := db.QueryContext(ctx, "SELECT id, run, writer, seq, note FROM entry ORDER BY id")
	if err != nil {
		return err
	}
	defer rows.Close()
	var errs []error
	var before int64
	for rows.Next() {
		var id int64
		var e entry
		var text []byte
		if err := rows.Scan(&id, &e.run, &e.writer, &e.seq, &text); err != nil {
			return err
		}
		k := key{e.run, e.writer}
		if e.seq == b.ledger[k] && a.Doubtful[Movement{e.writer, e.seq}] {
			a.Doubled++
		} else {
			b.ledger[k]++
		}
		switch {
		case before != 0 && id != before+1:
			errs = append(errs, fmt.Errorf("entry %d follows %d", id, before))
		case e.seq != b.ledger[k]:
			errs = append(errs, fmt.Errorf("entry %d is number %d of writer %d in run %d, and has number %d", id, b.ledger[k], e.writer, e.run, e.seq))
		case !bytes.Equal(text, note(e.run, e.writer, e.seq)):
			errs = append(errs, fmt.Errorf("the note of entry %d is wrong", id))
		}
		b.entries[id] = e
		before = id
	}
	if before != 0 && before != b.last {
		errs = append(errs, fmt.Errorf("the last entry is %d, not %d", before, b.last))
	}
	return errors.Join(append(errs, rows.Err())...)
}

// balances sees that each is what the entries make it.
func balances(ctx context.Context, db *sql.DB) error {
	var wrong, sum int
	err := db.QueryRowContext(ctx, `
		SELECT sum(balance), coalesce(sum(balance <> base
			- (SELECT coalesce(sum(amount), 0) FROM entry WHERE debit = account.id)
			+ (SELECT coalesce(sum(amount), 0) FROM entry WHERE credit = account.id)), 0) FROM account`).Scan(&sum, &wrong)
	switch {
	case err != nil:
		return err
	case sum != accounts*balance:
		return fmt.Errorf("the accounts hold %d, not %d", sum, accounts*balance)
	case wrong > 0:
		return fmt.Errorf("%d balances are not what the entries make them", wrong)
	}
	return nil
}

func (a *Auditor) compare(found books, run int, acks []Ack) (lost int, err error) {
	var errs []error
	promised := make(map[int]int)
	for _, ack := range acks {
		promised[ack.Writer] = max(promised[ack.Writer], ack.Seq)
		e, ok := found.entries[ack.ID]
		switch {
		case ok && e == entry{run, ack.Writer, ack.Seq}:
		case !ok && ack.ID > found.last:
			lost++
		default:
			lost++
			errs = append(errs, fmt.Errorf("entry %d, number %d of writer %d, is missing though entry %d is there", ack.ID, ack.Seq, ack.Writer, found.last))
		}
	}
	for k, n := range found.ledger {
		if k.run == run && n > promised[k.writer]+1 { // one may have been on its way
			errs = append(errs, fmt.Errorf("writer %d has %d entries, and was told of %d", k.writer, n, promised[k.writer]))
		}
	}
	before, now := a.known.without(run), found.ledger.without(run)
	if folded := len(now) == 0 && before.sum() >= foldFrom; !folded && !maps.Equal(before, now) {
		errs = append(errs, fmt.Errorf("of earlier runs there are %d entries, and were %d", now.sum(), before.sum()))
	}
	return lost, errors.Join(errs...)
}
