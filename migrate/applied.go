package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3/database"
)

// applied returns the versions that are applied, in order, without goose's 0. It
// changes nothing.
func (m *Migrator) applied(ctx context.Context, q database.DBTxConn) ([]int64, error) {
	switch there, err := m.tableExists(ctx, q); {
	case err != nil:
		return nil, fmt.Errorf("reading the version: %w", err)
	case !there:
		return nil, nil
	}
	records, err := m.store.ListMigrations(ctx, q) // the newest record first
	if err != nil {
		return nil, fmt.Errorf("reading the version: %w", err)
	}
	found := make(map[int64]bool)
	for _, r := range records {
		if _, later := found[r.Version]; !later { // goose once recorded what it took back as not applied
			found[r.Version] = r.IsApplied
		}
	}
	delete(found, 0)
	maps.DeleteFunc(found, func(_ int64, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(found)), nil
}

func (m *Migrator) tableExists(ctx context.Context, q database.DBTxConn) (there bool, err error) {
	err = q.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE", m.table).Scan(&there)
	return there, err
}

// known returns the versions that are applied, or why this program may not go on
// from them.
func (m *Migrator) known(ctx context.Context, q database.DBTxConn) ([]int64, error) {
	applied, err := m.applied(ctx, q)
	if err != nil {
		return nil, err
	}
	current, latest := newest(applied), m.latest()
	if current > latest {
		return nil, fmt.Errorf("%w: it is at version %d, the program at %d; use a newer program", ErrNewer, current, latest)
	}
	var unknown, missing []int64
	for _, v := range applied {
		if !slices.Contains(m.versions(), v) {
			unknown = append(unknown, v)
		}
	}
	for _, v := range m.versions() {
		if v < current && !slices.Contains(applied, v) {
			missing = append(missing, v)
		}
	}
	switch {
	case len(unknown) > 0:
		return nil, fmt.Errorf("the database has version %s applied, of which this program has no migration; add its file", list(unknown))
	case len(missing) > 0:
		return nil, fmt.Errorf("detected %d missing (out-of-order) migration(s): version %s is not applied, though %d is; give it a higher number, or apply it with goose's -allow-missing", len(missing), list(missing), current)
	}
	return applied, nil
}

// ensureTable makes the version table as goose does, with its version 0.
func (m *Migrator) ensureTable(ctx context.Context, db *sql.DB) error {
	there, err := m.tableExists(ctx, db)
	if there || err != nil {
		return err
	}
	err = inTx(ctx, db, func(tx *sql.Tx) error {
		if err := m.store.CreateVersionTable(ctx, tx); err != nil { // it comes first, to wait for its turn
			return err
		}
		return m.store.Insert(ctx, tx, database.InsertRequest{Version: 0})
	})
	if err == nil {
		return nil
	}
	if there, looked := m.tableExists(ctx, db); looked == nil && there {
		return errRaced
	}
	return err
}

// inTx runs fn in a transaction of the database's.
func inTx(ctx context.Context, db *sql.DB, fn func(tx *sql.Tx) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return onConn(ctx, conn, fn)
}

// onConn runs fn in a transaction on a connection, and leaves none open there,
// whatever happens.
func onConn(ctx context.Context, conn *sql.Conn, fn func(tx *sql.Tx) error) (err error) {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // of no account after a commit
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		endText(ctx, conn) // one that met a lock leaves the transaction open
		return err
	}
	return nil
}

// endText rolls back a transaction that database/sql knows nothing of, if one is open.
func endText(ctx context.Context, conn *sql.Conn) {
	_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
}

func newest(applied []int64) int64 {
	if len(applied) == 0 {
		return 0
	}
	return applied[len(applied)-1]
}

func list(versions []int64) string {
	texts := make([]string, len(versions))
	for i, v := range versions {
		texts[i] = strconv.FormatInt(v, 10)
	}
	return strings.Join(texts, ", ")
}

// within adds what an error may leave unsaid: that the context has ended, whatever that
// has led to, and why the database is closed, if it can tell that.
func within(ctx context.Context, d Database, err error) error {
	if over := ctx.Err(); over != nil && err != nil && !errors.Is(err, over) {
		return fmt.Errorf("%w: %w", over, err)
	}
	if h, tells := d.(interface{ HealthCheck(context.Context) error }); tells && isClosed(err) {
		if why := h.HealthCheck(ctx); why != nil {
			return fmt.Errorf("%w: %w", err, why)
		}
	}
	return err
}

// isClosed reports that err is what a closed *sql.DB returns, for which database/sql has
// no name.
func isClosed(err error) bool {
	db := sql.OpenDB(opener{})
	_ = db.Close()
	return errors.Is(err, db.Ping())
}
