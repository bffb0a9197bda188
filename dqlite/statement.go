package dqlite

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/sqlane/sqlane/internal/arguments"
	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/pool"
)

// statement is what a program asks for.
type statement struct {
	text  string
	args  []driver.Value
	reads bool // It certainly writes nothing, as far as its text tells.
	rows  bool // It, or one of several, returns rows, as far as its text tells, which dqlite must know before.
	marks bool // It changes the connection, which nobody else gets then.

	several  bool   // It is more than one.
	inserts  bool   // The last one inserts,
	changes  bool   // or updates or deletes.
	controls string // This in it begins or ends a transaction or a savepoint, or lets a view write.
	attaches string // This word in it is about other databases.
}

// timeLayout is how the pool writes a time by default.
const timeLayout = "2006-01-02 15:04:05.000000000+00:00"

// newStatement makes a statement of a text and what a program passes with it.
func (s *Store) newStatement(text string, args []any) (*statement, error) {
	values, err := s.values(args)
	if err != nil {
		return nil, err
	}
	st := parse(text, values)
	if st.controls != "" {
		return nil, s.fail("query", pool.ErrTxControl, saying("%s as text", st.controls))
	}
	return st, s.refuse(st)
}

// refuse says why a node is not to be sent a statement.
func (s *Store) refuse(st *statement) error {
	if st.attaches != "" {
		return s.fail("query", errors.ErrUnsupported, saying("%s: a cluster's database stands alone", st.attaches))
	}
	if n := sqlite.Parameters(st.text); n != len(st.args) { // dqlite would take NULL for those that are missing
		return sqlite.ArgumentsError(fmt.Sprintf("%d arguments for a statement that takes %d", len(st.args), n))
	}
	return nil
}

// queryOnly is the Store's own: a view is one by it.
const queryOnly = "PRAGMA query_only"

// parse finds out what can be told of a text.
func parse(text string, values []driver.Value) *statement {
	st := &statement{text: text, args: values, reads: true}
	all := sqlite.Split(text)
	st.several = len(all) > 1
	st.rows = len(all) == 0 // so that a node is not asked for nothing
	for _, one := range all {
		word := sqlite.FirstWord(one)
		reads := reads(one, word)
		switch word {
		case "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE":
			st.controls = word
		case "PRAGMA":
			st.marks = st.marks || !reads
			if !reads && sqlite.HasWord(one, "QUERY_ONLY") {
				st.controls = queryOnly
			}
		case "ATTACH", "DETACH":
			st.attaches = word
		case "CREATE":
			st.marks = st.marks || sqlite.HasWord(one, "TEMP", "TEMPORARY")
		}
		st.inserts = word == "INSERT" || word == "REPLACE" || word == "WITH" && sqlite.HasWord(one, "INSERT", "REPLACE")
		st.changes = st.inserts || word == "UPDATE" || word == "DELETE" || word == "WITH" && !reads
		st.reads = st.reads && reads
		st.rows = st.rows || reads || returns(one, word)
	}
	return st
}

// each are the statements of one that is several. Several have no arguments.
func (st *statement) each() (all []*statement) {
	for _, one := range sqlite.Split(st.text) {
		all = append(all, parse(one, st.args))
	}
	return all
}

func (st *statement) whole() []*statement { return []*statement{st} }

// changed is the result of a statement without what the connection remembers of others.
func (st *statement) changed(res driver.Result) driver.Result {
	if res == nil {
		return changed{}
	}
	id, _ := res.LastInsertId() // a node's has no errors
	n, _ := res.RowsAffected()
	if !st.changes {
		n = 0
	}
	if n == 0 || !st.inserts {
		id = 0
	}
	return changed{id, n}
}

// reads reports whether a statement certainly writes nothing. What it does not know, such
// as a WITH in which the word INSERT stands, may write.
func reads(one, word string) bool {
	switch word {
	case "SELECT", "VALUES", "EXPLAIN":
		return true
	case "PRAGMA":
		return readsPragma(one)
	case "WITH":
		return !sqlite.HasWord(one, "INSERT", "UPDATE", "DELETE", "REPLACE")
	}
	return false
}

// returns reports whether a statement that writes returns rows. In a transaction of its own
// it would end the node: https://github.com/canonical/dqlite/blob/v1.11.1/src/gateway.c runs
// it as a query, whose writing reaches no other node.
func returns(one, word string) bool {
	switch word {
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH":
		return sqlite.HasWord(one, "RETURNING")
	}
	return false
}

// readsPragma reports whether a PRAGMA changes nothing: one without a value, or whose value
// is an argument (https://www.sqlite.org/pragma.html).
func readsPragma(text string) bool {
	switch {
	case strings.Contains(text, "="):
		return false
	case strings.Contains(text, "("):
		return sqlite.HasWord(text, "TABLE_INFO", "TABLE_XINFO", "TABLE_LIST", "INDEX_INFO", "INDEX_XINFO", "INDEX_LIST",
			"FOREIGN_KEY_LIST", "FOREIGN_KEY_CHECK", "INTEGRITY_CHECK", "QUICK_CHECK")
	}
	return !sqlite.HasWord(text, "OPTIMIZE", "INCREMENTAL_VACUUM", "WAL_CHECKPOINT", "SHRINK_MEMORY")
}

// values are arguments as a node takes them.
func (s *Store) values(args []any) ([]driver.Value, error) {
	if len(args) == 0 {
		return nil, nil
	}
	var converted []sqlite.Argument
	for _, arg := range args {
		var err error
		if converted, err = arguments.Append(converted, arg); err != nil {
			return nil, err
		}
	}
	if err := sqlite.TimeFormat("").Check(converted); err != nil {
		return nil, err
	}
	values := make([]driver.Value, len(converted))
	for i := range converted {
		a := &converted[i]
		if a.Name != "" {
			return nil, s.fail("query", pool.ErrConfig, saying("argument %q has a name, and dqlite knows numbers alone: write ?%d in the statement", a.Name, i+1))
		}
		if values[i] = a.Value.Driver(); a.Value.Kind == sqlite.Time {
			values[i] = a.Value.Time().Format(timeLayout)
		}
	}
	return values, nil
}
