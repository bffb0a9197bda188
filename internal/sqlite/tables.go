package sqlite

import (
	"slices"
	"strings"

	modernc "modernc.org/sqlite"
)

// Tables are what a statement reads and changes, by SQLite's authorizer: through
// views, triggers, foreign keys' actions and common table expressions too. Those of
// TEMP are left out. What a virtual table reads by statements of its own is there if
// these were prepared within this statement, and not if they were before.
type Tables struct {
	Read    []string // Folded. A view, a common table expression or a function that is read as a table counts as one.
	Written []string // As declared; SchemaTable if it is the schema.
	Schema  bool     // It changes the schema, or what else may change any answer: rowids, by VACUUM, and what the planner goes by.
	All     bool     // What it reads any statement may change: it is such a PRAGMA, or it reads sqlite_sequence.

	asked int // It was asked so often whether the schema table may be written.
}

// SchemaTable is where the schema is, by its oldest name
// (https://www.sqlite.org/schematab.html).
const SchemaTable = "sqlite_master"

// Fold makes names alike that are one to SQLite, to which ASCII letters alone have a
// case.
func Fold(name string) string {
	upper := func(r rune) bool { return 'A' <= r && r <= 'Z' }
	if strings.IndexFunc(name, upper) < 0 {
		return name
	}
	return strings.Map(func(r rune) rune {
		if upper(r) {
			r += 'a' - 'A'
		}
		return r
	}, name)
}

// note takes down what the authorizer was asked.
func (t *Tables) note(action modernc.AuthorizerActionCode, arg1, schema string) {
	if schema == "temp" {
		return
	}
	switch action {
	case modernc.AuthRead: // for count(*) the table is given as the query spells it
		table := Fold(arg1)
		t.Read = include(t.Read, table)
		t.All = t.All || table == "sqlite_sequence" // an INSERT of a table with AUTOINCREMENT does not tell that it writes there
	case modernc.AuthInsert, modernc.AuthUpdate, modernc.AuthDelete:
		t.Written = include(t.Written, arg1)
		if arg1 == SchemaTable {
			// CREATE TABLE IF NOT EXISTS and its like ask once where they do nothing.
			t.asked++
			t.Schema = t.Schema || t.asked > 1 || action != modernc.AuthInsert
		}
	case modernc.AuthAlterTable: // arg1 is the schema here
		t.Schema = t.Schema || arg1 != "temp"
	case modernc.AuthAnalyze:
		t.Schema = true
	case modernc.AuthPragma:
		switch strings.ToLower(arg1) {
		case "foreign_key_check", "integrity_check", "quick_check", "page_count", "freelist_count":
			t.All = true
		}
	}
}

func include(list []string, name string) []string {
	if slices.Contains(list, name) {
		return list
	}
	return append(list, name)
}

// noteCompiled takes in what was prepared during the statement's first step: the
// statement itself, if it was compiled again, or what a virtual table reads by. What
// that writes by are its own tables, and it is among those written itself; but even
// one that is read may write what was left to do before.
func (s *Stmt) noteCompiled() {
	more := &s.conn.tables
	if s.compiled != s.timesCompiled() {
		s.describeColumns()
		s.Tables, s.stale = *more, true
		return
	}
	for _, name := range more.Read {
		s.Tables.Read = include(s.Tables.Read, name)
	}
	s.Tables.All = s.Tables.All || more.All
}
