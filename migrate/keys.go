package migrate

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pressly/goose/v3/database"
)

// restoreForeignKeys switches foreign keys on a connection on again, or off.
//
// When a context ends, database/sql rolls its transaction back in a goroutine, and
// tells nobody when that is done. Until then the PRAGMA does nothing, and what reads
// may be cut off; so that is tried again until the transaction is gone.
func restoreForeignKeys(ctx context.Context, conn *sql.Conn, enforced bool) {
	over := ctx.Err() != nil
	ctx = context.WithoutCancel(ctx)
	set := "PRAGMA foreign_keys = OFF"
	if enforced {
		set = "PRAGMA foreign_keys = ON"
	}
	for range 100 {
		_, err := conn.ExecContext(ctx, set)
		now := !enforced
		if err == nil {
			now, err = foreignKeys(ctx, conn)
		}
		if err == nil && now == enforced {
			return
		}
		if !over || errors.Is(err, driver.ErrBadConn) {
			break
		}
		_ = pause(ctx) // which does not end
	}
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // nobody may meet it
}

// foreignKeys reports whether they are enforced on a connection.
func foreignKeys(ctx context.Context, conn *sql.Conn) (enforced bool, err error) {
	err = conn.QueryRowContext(ctx, "PRAGMA foreign_keys").Scan(&enforced)
	return enforced, err
}

// orphan is a row that refers to one that is not there; or a table, all of whose
// references are void, and why.
type orphan struct {
	table, columns, row, parent string
	void                        string
}

// foreignKey is one of a table's.
type foreignKey struct {
	parent   string
	from, to []string // to is "" where the parent's key has no such column, or there is no parent
}

// orphans are all the rows of a database whose references are broken.
func orphans(ctx context.Context, q database.DBTxConn) ([]orphan, error) {
	// Table by table, since one with a reference that SQLite cannot follow is an error.
	tables, err := column(ctx, q, "SELECT t.name FROM sqlite_schema AS t WHERE t.type = 'table' AND EXISTS (SELECT 1 FROM pragma_foreign_key_list(t.name)) ORDER BY t.name")
	if err != nil {
		return nil, fmt.Errorf("checking references: %w", err)
	}
	var all []orphan
	for _, table := range tables {
		found, err := orphansOf(ctx, q, table)
		switch {
		case hasCode(err, 1) && ctx.Err() == nil: // "foreign key mismatch": the parent has no such key
			all = append(all, orphan{table: table, void: err.Error()})
		case err != nil:
			return nil, fmt.Errorf("checking references of %q: %w", table, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

func orphansOf(ctx context.Context, q database.DBTxConn, table string) (found []orphan, err error) {
	rowids := make(map[int64][]string) // by the number of the foreign key
	var ids []int64
	rows, err := q.QueryContext(ctx, "SELECT fkid, rowid FROM pragma_foreign_key_check(?) ORDER BY fkid, rowid", table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	withoutRowid := false
	for rows.Next() {
		var id int64
		var rowid sql.NullInt64
		if err := rows.Scan(&id, &rowid); err != nil {
			return nil, err
		}
		if _, there := rowids[id]; !there {
			ids = append(ids, id)
		}
		withoutRowid = withoutRowid || !rowid.Valid
		rowids[id] = append(rowids[id], fmt.Sprintf("rowid %d", rowid.Int64))
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	for _, id := range ids {
		key, err := foreignKeyOf(ctx, q, table, id)
		if err != nil {
			return nil, err
		}
		if withoutRowid {
			keys, err := orphansByKey(ctx, q, table, key)
			if err != nil {
				return nil, err
			}
			if more := len(rowids[id]) - len(keys); more != 0 { // none may be lost because we cannot name it
				keys = append(keys, fmt.Sprintf("%d rows", more))
			}
			rowids[id] = keys
		}
		for _, row := range rowids[id] {
			found = append(found, orphan{table: table, columns: strings.Join(key.from, ", "), row: row, parent: key.parent})
		}
	}
	return found, nil
}

func foreignKeyOf(ctx context.Context, q database.DBTxConn, table string, id int64) (key foreignKey, err error) {
	rows, err := q.QueryContext(ctx, `SELECT f."table", f."from", coalesce((SELECT name FROM pragma_table_xinfo(f."table") WHERE name = f."to" COLLATE NOCASE OR f."to" IS NULL AND pk = f.seq + 1), '')
		FROM pragma_foreign_key_list(?) AS f WHERE f.id = ? ORDER BY f.seq`, table, id)
	if err != nil {
		return key, err
	}
	defer rows.Close()
	for rows.Next() {
		var from, to string
		if err := rows.Scan(&key.parent, &from, &to); err != nil {
			return key, err
		}
		key.from, key.to = append(key.from, from), append(key.to, to)
	}
	return key, rows.Err()
}

// orphansByKey finds what foreign_key_check does not name: the rows of a WITHOUT
// ROWID table.
func orphansByKey(ctx context.Context, q database.DBTxConn, table string, key foreignKey) ([]string, error) {
	columns, err := column(ctx, q, "SELECT name FROM pragma_table_xinfo(?) WHERE pk > 0 ORDER BY pk", table)
	if err != nil {
		return nil, err
	}
	var name, refers, met []string
	for _, c := range columns {
		name = append(name, literal(c+" ")+" || quote(c."+quoted(c)+")")
	}
	for i, from := range key.from {
		refers = append(refers, "c."+quoted(from)+" IS NOT NULL")
		met = append(met, "p."+quoted(key.to[i])+" = +c."+quoted(from)) // the parent's affinity and collation count
	}
	where := strings.Join(refers, " AND ")
	if !slices.Contains(key.to, "") {
		where += " AND NOT EXISTS (SELECT 1 FROM " + quoted(key.parent) + " AS p WHERE " + strings.Join(met, " AND ") + ")"
	}
	return column(ctx, q, "SELECT "+strings.Join(name, " || ', ' || ")+" FROM "+quoted(table)+" AS c WHERE "+where)
}

// errBroken says that a migration is not to be kept.
var errBroken = errors.New("it breaks references")

// broken is an error, errBroken, that names what is broken now and was not before.
func broken(before, after []orphan) error {
	old := make(map[orphan]bool)
	for _, o := range before {
		old[o] = true
	}
	type reference struct{ table, columns, parent string }
	var errs []error
	var order []reference
	rows := make(map[reference][]string)
	for _, o := range after {
		switch r := (reference{o.table, o.columns, o.parent}); {
		case old[o]:
		case o.void != "":
			errs = append(errs, fmt.Errorf("table %q: %s", o.table, o.void))
		default:
			if rows[r] == nil {
				order = append(order, r)
			}
			rows[r] = append(rows[r], o.row)
		}
	}
	for _, r := range order {
		errs = append(errs, fmt.Errorf("table %q (%s), %s: there is no such row in table %q", r.table, r.columns, some(rows[r]), r.parent))
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", errBroken, errors.Join(errs...))
}

// some are the rows, or the first of them and how many more.
func some(rows []string) string {
	const most = 10
	if len(rows) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(rows[:most], "; "), len(rows)-most)
	}
	return strings.Join(rows, "; ")
}

// column runs a query of one column.
func column(ctx context.Context, q database.DBTxConn, query string, args ...any) (found []string, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		found = append(found, text)
	}
	return found, rows.Err()
}

func quoted(name string) string  { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
