package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Validate compares the database with what the migrations make of an empty one, in
// memory, by the database's own driver: every table, column, index, foreign key,
// view and trigger, but for goose's table, SQLite's own, and Litestream's, whose
// names begin with _litestream_. Functions of GoMigrations run there too. The error,
// ErrDrift, lists every difference. Space and comments are none. A database at an
// older version differs too. It changes nothing.
func (m *Migrator) Validate(ctx context.Context, d Database) error {
	if err := m.given(ctx, d); err != nil {
		return err
	}
	want, err := m.reference(ctx, d.DB())
	if err != nil {
		return failed(within(ctx, d, fmt.Errorf("making a reference: %w", err)))
	}
	got, err := m.describe(ctx, d.DB())
	if err != nil {
		return failed(within(ctx, d, fmt.Errorf("validate: %w", err)))
	}
	if differences := compare(want, got); len(differences) > 0 {
		return failed(fmt.Errorf("%w: %w", ErrDrift, errors.Join(differences...)))
	}
	return nil
}

func compare(want, got map[string]string) (differences []error) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch found, there := got[name]; {
		case !there:
			differences = append(differences, fmt.Errorf("%s is missing", name))
		case found != want[name]:
			differences = append(differences, fmt.Errorf("%s is %q, not %q", name, found, want[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, there := want[name]; !there {
			differences = append(differences, fmt.Errorf("%s is not the migrations'", name))
		}
	}
	return differences
}

// scratch is a database that is not kept.
type scratch struct{ db *sql.DB }

func (s scratch) DB() *sql.DB                          { return s.db }
func (s scratch) Backup(context.Context, string) error { return nil }

// reference describes what the migrations make.
func (m *Migrator) reference(ctx context.Context, like *sql.DB) (map[string]string, error) {
	db := sql.OpenDB(opener{like.Driver(), ":memory:"})
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection would be a database of its own
	fresh := *m
	fresh.backup = ""
	if err := fresh.Up(ctx, scratch{db}); err != nil {
		return nil, err
	}
	return m.describe(ctx, db)
}

// facts are queries for name and description of everything in a schema. The last
// one catches what the others do not name, CHECK constraints and STRICT.
var facts = []string{
	`SELECT 'column ' || t.name || '.' || c.name,
	        c.type || CASE WHEN c."notnull" THEN ' NOT NULL' ELSE '' END || coalesce(' DEFAULT ' || c.dflt_value, '') || CASE WHEN c.pk THEN ' PRIMARY KEY' ELSE '' END
	 FROM sqlite_schema AS t, pragma_table_xinfo(t.name) AS c WHERE t.type = 'table' AND ours(t)`,
	`SELECT 'index ' || i.name,
	        (SELECT t.name || '(' || group_concat(coalesce(x.name, '?') || CASE WHEN x."desc" THEN ' DESC' ELSE '' END, ', ') || ')'
	         FROM pragma_index_xinfo(i.name) AS x WHERE x.key) || CASE WHEN i."unique" THEN ' UNIQUE' ELSE '' END || CASE WHEN i.partial THEN ' WHERE' ELSE '' END
	 FROM sqlite_schema AS t, pragma_index_list(t.name) AS i WHERE t.type = 'table' AND ours(t)`,
	`SELECT 'foreign key ' || t.name || '.' || f."from",
	        f."table" || '(' || coalesce(f."to", '') || ') ON DELETE ' || f.on_delete || ' ON UPDATE ' || f.on_update
	 FROM sqlite_schema AS t, pragma_foreign_key_list(t.name) AS f WHERE t.type = 'table' AND ours(t)`,
	`SELECT t.type || ' ' || t.name, t.sql FROM sqlite_schema AS t WHERE t.sql IS NOT NULL AND ours(t)`,
}

// others matches what belongs to SQLite and to Litestream, which puts tables of its own
// into each database that it replicates. See
// https://github.com/benbjohnson/litestream#source-database-changes.
const others = `(t.name LIKE 'sqlite\_%' ESCAPE '\' OR t.tbl_name LIKE '\_litestream\_%' ESCAPE '\')`

func (m *Migrator) describe(ctx context.Context, db *sql.DB) (map[string]string, error) {
	found := make(map[string]string)
	for _, query := range facts {
		query = strings.ReplaceAll(query, "ours(t)", "NOT "+others+" AND t.tbl_name <> '"+m.table+"' COLLATE NOCASE")
		if err := collect(ctx, db, query, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func collect(ctx context.Context, db *sql.DB, query string, into map[string]string) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return err
		}
		into[name] = squeeze(text)
	}
	return rows.Err()
}

// quotedOrBlank matches a quotation, or a run of what SQL does not read: white
// space and comments. A doubled quote in a quotation is the end of one and the
// beginning of the next.
var quotedOrBlank = regexp.MustCompile("(?s)'[^']*'|\"[^\"]*\"|`[^`]*`|\\[[^]]*]|(?:\\s|--[^\n]*|/\\*.*?(?:\\*/|$))+")

// squeeze makes one space of everything between the words.
func squeeze(text string) string {
	return strings.TrimSpace(quotedOrBlank.ReplaceAllStringFunc(text, func(part string) string {
		if strings.ContainsRune("'\"`[", rune(part[0])) {
			return part
		}
		return " "
	}))
}
