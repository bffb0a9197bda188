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
	rows  bool // It returns rows, as far as its text tells, which dqlite must know before.
	alone bool // It is one, not several.
	marks bool // It changes the connection, which nobody else gets then.
}

// timeLayout is how the pool writes a time by default.
const timeLayout = "2006-01-02 15:04:05.000000000+00:00"

// newStatement makes a statement of a text and what a program passes with it.
func (s *Store) newStatement(text string, args []any) (*statement, error) {
	values, err := s.values(args)
	if err != nil {
		return nil, err
	}
	if n := sqlite.Parameters(text); n != len(values) { // dqlite would take NULL for those that are missing
		return nil, sqlite.ArgumentsError(fmt.Sprintf("%d arguments for a statement that takes %d", len(values), n))
	}
	st := &statement{text: text, args: values, reads: true}
	all := sqlite.Split(text)
	st.alone = len(all) == 1
	for _, one := range all {
		word := sqlite.FirstWord(one)
		switch word {
		case "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE":
			return nil, s.fail("query", pool.ErrTxControl, saying("%s as text", word))
		case "ATTACH", "DETACH":
			return nil, s.fail("query", errors.ErrUnsupported, saying("%s: a cluster's database stands alone", word))
		case "PRAGMA":
			st.marks = true
		case "CREATE":
			st.marks = st.marks || sqlite.HasWord(one, "TEMP", "TEMPORARY")
		}
		st.reads = st.reads && reads(one, word)
		st.rows = st.reads || returns(one, word)
	}
	return st, nil
}

// reads reports whether a statement certainly writes nothing. What it does not know, such
// as a WITH in which the word INSERT stands, may write.
func reads(one, word string) bool {
	switch word {
	case "SELECT", "VALUES", "EXPLAIN":
		return true
	case "PRAGMA":
		return !strings.Contains(one, "=")
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
