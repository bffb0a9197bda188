package sqlite

import "strings"

// Result is what a statement did.
type Result struct {
	id, rows int64
	inserted bool // The id is that of a row, and not 0 because there is none.
}

// After is what a statement of a script did, after the statements before it: the id
// is that of the row which the script inserted last.
func (r Result) After(before Result) Result {
	if !r.inserted {
		r.id, r.inserted = before.id, before.inserted
	}
	return r
}

// LastInsertId implements driver.Result: the rowid of the row that the statement
// inserted last, 0 if it inserted none, or none that has a rowid.
func (r Result) LastInsertId() (int64, error) { return r.id, nil }

// RowsAffected implements driver.Result: the rows that the statement itself
// inserted, changed or deleted.
func (r Result) RowsAffected() (int64, error) { return r.rows, nil }

// change is the kind of a statement: SQLite's counters mean something only after
// one that changes rows, and are what they were after others
// (https://www.sqlite.org/c3ref/changes.html).
type change uint8

const (
	noChange   change = iota
	insertion         // INSERT, REPLACE
	alteration        // UPDATE, DELETE
)

func changeOf(sql string) change {
	switch verb(sql) {
	case "INSERT", "REPLACE":
		return insertion
	case "UPDATE", "DELETE":
		return alteration
	}
	return noChange
}

// verb is the word that says what a statement does: its first, or the one behind
// its common table expressions, which follows a closing parenthesis.
func verb(sql string) string {
	with, closed, depth := false, false, 0
	for i := 0; i < len(sql); {
		kind, next := token(sql, i)
		text := sql[i:next]
		i = next
		if kind == spaceToken {
			continue
		}
		if kind == wordToken && depth == 0 && (!with || closed) {
			switch word := strings.ToUpper(text); {
			case word == "WITH" && !with:
				with = true
			case word != "AS":
				return word
			}
		}
		closed = text == ")"
		switch text {
		case "(":
			depth++
		case ")":
			depth--
		}
	}
	return ""
}

// noRowid stands for the last rowid while a statement inserts, to be seen again if
// it inserts none. That the rowid is another afterwards would not tell: it may be
// the same in another table.
const noRowid = -0x73716c616e65726f

// observe runs a statement, and tells what it did.
func (s *Stmt) observe(run func() error) (Result, error) {
	if s.change != insertion {
		if err := run(); err != nil || s.change == noChange {
			return Result{}, err
		}
		return Result{rows: s.conn.changedRows()}, nil
	}
	// A statement that asks for the last rowid, by itself or in a trigger, must find
	// what is there. One that has shown what it does needs no mark.
	marked := !s.Effects.Rowid && !s.rowids
	before := s.conn.lastRowid()
	if marked {
		s.conn.setLastRowid(noRowid)
	}
	err := run()
	after := s.conn.lastRowid()
	if marked && after == noRowid {
		s.conn.setLastRowid(before)
	}
	if err != nil {
		return Result{}, err
	}
	res := Result{rows: s.conn.changedRows()}
	if marked {
		res.inserted = after != noRowid
		s.rowids = res.inserted && !s.updates
	} else {
		res.inserted = after != before || res.rows > 0 && !s.updates
	}
	if res.inserted {
		res.id = after
	}
	return res, nil
}
