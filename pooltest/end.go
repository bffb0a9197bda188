package pooltest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
)

// patience is how long what a test's context ends may take to end.
const patience = time.Second

// end closes the database and looks at it.
func (d *database) end(t testing.TB) {
	t.Helper()
	defer d.faults.disconnect()
	databases.Delete(d.pool) // It is no more to be had.
	if err := d.faults.heal(); err != nil {
		t.Errorf("pooltest: %v", err)
	}
	leaked := !wait(patience, func() bool { return d.pool.Stats().InUse == 0 })
	if !leaked && d.memory() { // else once it is closed, as it is on disk
		d.report(t, check(d.pool))
	}
	rest := patience // for the pool, which may be looking after itself, and then for goroutines
	if leaked {
		rest = 0 // They have had their second.
	}
	d.notes.close()
	ctx, cancel := context.WithTimeout(context.Background(), rest)
	defer cancel()
	switch err := d.pool.Shutdown(ctx); { // which tells who has what
	case leaked && err != nil:
		t.Errorf("pooltest: a lease was not given back: %v", err)
	case err != nil:
		t.Errorf("pooltest: closing the pool: %v", err)
	}
	if !d.memory() {
		d.report(t, d.checkFile())
	}
	for _, note := range d.notes.all() {
		t.Errorf("pooltest: %s", note)
	}
	if d.others() {
		return // whose goroutines are inside them rightly
	}
	defer unlabel()
	var left []string
	if !wait(rest, func() bool { left = inside(t.Name()); return len(left) == 0 }) {
		t.Errorf("pooltest: goroutines of the test are still inside the pool; have them end, and wait for them:\n\n%s", strings.Join(left, "\n\n"))
	}
}

// others reports that the test has other databases, which end after this one.
func (d *database) others() (some bool) {
	databases.Range(func(_, other any) bool {
		some = other.(*database).t.Name() == d.t.Name()
		return !some
	})
	return some
}

func (d *database) report(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("pooltest: the database %s: %v", d.cfg.Path, err)
	}
}

// wait reports that something is so before that long.
func wait(long time.Duration, so func() bool) bool {
	late := time.Now().Add(long)
	for pause := 100 * time.Microsecond; !so(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Now().After(late) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}

// checkFile looks at a database whose pool is closed.
func (d *database) checkFile() error {
	if _, err := os.Stat(d.cfg.Path); errors.Is(err, fs.ErrNotExist) {
		return nil // the test has removed it
	}
	p, err := pool.Open(context.Background(), pool.Config{
		Path: d.cfg.Path, ReadOnly: d.cfg.ReadOnly, Immutable: d.cfg.Immutable, MaxConns: 1, // a reader would leave a log behind
		JournalMode: d.cfg.JournalMode, Synchronous: pool.SyncOff, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	return errors.Join(check(p), p.Close())
}

// check has SQLite look at a database. It has no fault if the pool is closed.
func check(p *pool.Pool) error {
	ctx := context.Background()
	l, err := p.Acquire(ctx)
	if errors.Is(err, pool.ErrClosed) {
		return nil
	}
	if err != nil {
		return err
	}
	defer l.Release()
	damage, err := lines(ctx, l, "PRAGMA integrity_check(10)")
	if err != nil || len(damage) == 1 && damage[0] == "ok" {
		damage = nil
	}
	orphans, keysErr := lines(ctx, l, `SELECT 'row ' || coalesce(rowid, '?') || ' of ' || "table" || ' refers to a row of ' || parent || ' that is not there' FROM pragma_foreign_key_check LIMIT 10`)
	if errs := errors.Join(err, keysErr); errs != nil {
		return errs
	}
	if faults := append(damage, orphans...); len(faults) > 0 {
		return fmt.Errorf("is not whole: %s", strings.Join(faults, "; "))
	}
	return nil
}

// lines reads a query's first column.
func lines(ctx context.Context, q pool.Querier, query string) (all []string, err error) {
	rows, err := q.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		all = append(all, line)
	}
	return all, rows.Err()
}
