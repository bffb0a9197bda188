package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/pressly/goose/v3/database"
)

// step is one migration applied or taken back.
type step struct {
	version int64
	up      bool
}

// errRaced says that another program migrated at the same time.
var errRaced = errors.New("another program migrated the database meanwhile")

// run does the first of the steps that lead on from what is applied, done of them
// by now, until there are none. What is applied is read anew each time, so that it
// is enough to look again when another program was faster.
func (m *Migrator) run(ctx context.Context, d Database, next func(applied []int64, done int) ([]step, error)) error {
	if err := m.given(ctx, d); err != nil {
		return err
	}
	r := &run{Migrator: m, d: d, db: d.DB(), next: next, scripts: make(map[step]script)}
	defer r.unlock()
	for {
		more := false
		err := patiently(ctx, r.db, func() (err error) {
			more, err = r.one(ctx)
			return err
		})
		switch {
		case errors.Is(err, errRaced): // look again
		case err != nil && r.afterOthers(ctx, err): // likewise
		case err != nil:
			return failed(within(ctx, d, err))
		case !more:
			return nil
		}
	}
}

// run is a run of a Migrator on a database.
type run struct {
	*Migrator
	d        Database
	db       *sql.DB
	next     func(applied []int64, done int) ([]step, error)
	scripts  map[step]script
	done     int    // steps of this run
	tried    bool   // to exclude other programs
	release  func() // It ends the wait of other programs; nil if they are not excluded.
	backedUp bool
}

func (r *run) unlock() {
	if r.release != nil {
		r.release()
	}
}

// afterOthers waits for another program that migrates the database, which may be
// why this one failed: its migration may take longer than any timeout. It reports
// false if there was none, neither now nor when this one began.
func (r *run) afterOthers(ctx context.Context, err error) bool {
	if r.release != nil || !r.tried && !isLocked(err) {
		return false
	}
	release, waited, failed := exclude(ctx, r.db, true)
	r.release = release
	return failed == nil && (waited || r.tried)
}

// one does one thing, and reports false if there was nothing more to do.
func (r *run) one(ctx context.Context) (more bool, err error) {
	applied, err := r.known(ctx, r.db)
	if err != nil {
		return false, err
	}
	steps, err := r.next(applied, r.done)
	if err != nil || len(steps) == 0 {
		return false, err
	}
	for _, s := range steps {
		if _, read := r.scripts[s]; !read {
			if r.scripts[s], err = r.script(ctx, s); err != nil {
				return false, fmt.Errorf("%s: %w", r.name(s.version), err)
			}
		}
	}
	s := steps[0]
	backup := s.up && r.backup != "" && !r.backedUp
	must := backup || !r.scripts[s].transaction
	if r.release == nil && (must || !r.tried) {
		r.tried = true
		release, _, err := exclude(ctx, r.db, must)
		switch {
		case must:
			r.release = release
			return true, err // and look again
		case err == nil: // others can tell a long migration from another lock by it
			r.release = release
		}
	}
	if backup {
		if err := r.copyTo(ctx, r.backup); err != nil {
			return false, fmt.Errorf("backup: %w", err)
		}
		r.backedUp = true
	}
	if err := r.ensureTable(ctx, r.db); err != nil {
		return false, err
	}
	if err := r.do(ctx, s, applied); err != nil {
		if errors.Is(err, errRaced) {
			return true, err
		}
		direction := "down"
		if s.up {
			direction = "up"
		}
		return false, fmt.Errorf("%s %s: %w", direction, r.name(s.version), err)
	}
	r.done++
	return true, nil
}

func (r *run) copyTo(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%w: %s; move it away, or name another", fs.ErrExist, path)
	}
	return r.d.Backup(ctx, path)
}

// do applies a migration or takes it back.
func (r *run) do(ctx context.Context, s step, applied []int64) error {
	script := r.scripts[s]
	if script.onDB != nil {
		return r.doOnDB(ctx, s, applied, script)
	}
	conn, err := r.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	enforced, err := foreignKeys(ctx, conn)
	if err != nil {
		return err
	}
	if enforced || !script.transaction { // else nothing will have changed
		defer restoreForeignKeys(ctx, conn, enforced)
	}

	if !script.transaction {
		before, err := r.look(ctx, conn, applied)
		if err != nil {
			return err
		}
		err = execute(ctx, conn, script.statements)
		if err == nil {
			err = r.recordLate(ctx, conn, s, applied, before)
		}
		if err != nil {
			endText(ctx, conn) // what the file began
			return unrecorded(err)
		}
		return nil
	}
	if enforced {
		if _, err := conn.ExecContext(ctx, "PRAGMA foreign_keys = OFF"); err != nil {
			return err
		}
	}
	fn := func(tx *sql.Tx) error {
		if script.inTx != nil {
			return script.inTx(ctx, tx)
		}
		return execute(ctx, tx, script.statements)
	}
	err = r.record(ctx, conn, s, applied, nil, fn)
	if !errors.Is(err, errBroken) {
		return err
	}
	// Looking at every reference takes its time, so only now: was it so before?
	before, looking := orphans(ctx, conn)
	if looking != nil || len(before) == 0 {
		return errors.Join(err, looking)
	}
	return r.record(ctx, conn, s, applied, before, fn)
}

// doOnDB holds no connection while the function runs: there may be only one.
func (r *run) doOnDB(ctx context.Context, s step, applied []int64, script script) error {
	before, err := r.look(ctx, r.db, applied)
	if err != nil {
		return err
	}
	if err := script.onDB(ctx, r.db); err != nil {
		return unrecorded(err)
	}
	conn, err := r.db.Conn(ctx)
	if err == nil {
		defer conn.Close()
		err = r.recordLate(ctx, conn, s, applied, before)
	}
	return unrecorded(err)
}

// errUnrecorded says that a migration without a transaction has failed, which is not
// tried again.
var errUnrecorded = errors.New("what it did outside a transaction stays, and its version is not recorded")

func unrecorded(err error) error {
	if err == nil || errors.Is(err, errRaced) { // another program has recorded it
		return err
	}
	return fmt.Errorf("%w: %w", errUnrecorded, err)
}

// recordLate records what was done without a transaction, and waits for that.
func (r *run) recordLate(ctx context.Context, conn *sql.Conn, s step, applied []int64, before []orphan) error {
	return patiently(ctx, conn, func() error { return r.record(ctx, conn, s, applied, before, nil) })
}

// look sees what is broken before a migration without a transaction, if it is still
// the next one.
func (r *run) look(ctx context.Context, q database.DBTxConn, applied []int64) ([]orphan, error) {
	if err := r.unchanged(ctx, q, applied); err != nil {
		return nil, err
	}
	return orphans(ctx, q)
}

func (r *run) unchanged(ctx context.Context, q database.DBTxConn, applied []int64) error {
	now, err := r.applied(ctx, q)
	if err == nil && !slices.Equal(now, applied) {
		return errRaced
	}
	return err
}

// record is the transaction of a migration, in which fn runs if there is one, or
// that only records what was done before it. before is what was broken by then.
func (r *run) record(ctx context.Context, conn *sql.Conn, s step, applied []int64, before []orphan, fn func(tx *sql.Tx) error) error {
	return onConn(ctx, conn, func(tx *sql.Tx) error {
		// A pool's transaction is IMMEDIATE, a driver's perhaps DEFERRED: then this
		// makes it so, for it waits for its turn as long as nothing was read.
		if _, err := tx.ExecContext(ctx, "UPDATE "+r.table+" SET is_applied = is_applied WHERE 0"); err != nil {
			return err
		}
		if err := r.unchanged(ctx, tx, applied); err != nil {
			return err
		}
		if fn != nil {
			// In a transaction SQLite ignores the PRAGMA, and a pool refuses it unless
			// it says what is so, or takes that back: so that it may be there.
			if _, err := tx.ExecContext(ctx, "PRAGMA foreign_keys = OFF"); err != nil {
				return err
			}
			if err := fn(tx); err != nil {
				return err
			}
		}
		after, err := orphans(ctx, tx)
		if err != nil {
			return err
		}
		if err := broken(before, after); err != nil {
			return err
		}
		if s.up {
			return r.store.Insert(ctx, tx, database.InsertRequest{Version: s.version})
		}
		return r.store.Delete(ctx, tx, s.version)
	})
}

// execute runs statements, and says which one failed.
func execute(ctx context.Context, q database.DBTxConn, statements []string) error {
	for i, statement := range statements {
		if _, err := q.ExecContext(ctx, statement); err != nil {
			text := squeeze(statement)
			if short := []rune(text); len(short) > 100 {
				text = string(short[:100]) + "..."
			}
			return fmt.Errorf("statement %d of %d, %s: %w", i+1, len(statements), text, err)
		}
	}
	return nil
}

// patiently calls fn again and again while a lock of another program's is in its
// way, unless the database has waited long enough by itself: its busy timeout says
// how long that is, in all and not for each attempt.
func patiently(ctx context.Context, q database.DBTxConn, fn func() error) error {
	began, most := time.Now(), time.Duration(-1)
	for {
		err := fn()
		if !isLocked(err) || errors.Is(err, errUnrecorded) {
			return err
		}
		if most < 0 {
			most = busyTimeout(ctx, q)
		}
		if time.Since(began) >= most || pause(ctx) != nil {
			return err
		}
	}
}

// busyTimeout is how long the database waits for a lock by itself. One that does
// not wait, or cannot be asked now, is given five seconds.
func busyTimeout(ctx context.Context, q database.DBTxConn) time.Duration {
	var milliseconds int64
	if err := q.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&milliseconds); err != nil || milliseconds <= 0 {
		return 5 * time.Second
	}
	return time.Duration(milliseconds) * time.Millisecond
}

// pause is the time between two attempts.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(1+rand.IntN(20)) * time.Millisecond):
		return ctx.Err()
	}
}

// isLocked reports SQLite's BUSY or LOCKED, of a driver whose errors tell their code.
func isLocked(err error) bool { return hasCode(err, 5) || hasCode(err, 6) }

func hasCode(err error, primary int) bool {
	var e interface{ Code() int }
	return errors.As(err, &e) && e.Code()&0xff == primary
}
