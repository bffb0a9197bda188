package sqlite

// Whole reports that the statement, in a transaction of its own, changes rows, and
// if it fails it changes none. Of those that change rows it is so unless a conflict
// is resolved by FAIL, which keeps, and commits, what came before
// (https://www.sqlite.org/lang_conflict.html): the statement may say so, and so may
// the schema. ask runs SQL that returns a text: it is called if the schema is still to be
// read, which may take its time, and call the program's functions.
func (s *Stmt) Whole(ask func(text string) (string, error)) bool {
	if s.change == noChange {
		return false
	}
	if s.whole == unasked {
		s.whole = not
		if !HasWord(s.Text, "FAIL") {
			fails, err := ask(schemaFails)
			if err != nil {
				return false // the next one asks again
			}
			if fails == "0" {
				s.whole = yes
			}
		}
	}
	return s.whole == yes
}

// Current reports that SQLite has not compiled the statement again since it was
// prepared, so that what was learnt of it is true.
func (s *Stmt) Current() bool { return !s.stale && s.compiled == s.timesCompiled() }

// schemaFails finds what may be ON CONFLICT FAIL or RAISE(FAIL). It may find more.
const schemaFails = `SELECT CAST(EXISTS (SELECT 1 FROM (SELECT sql FROM sqlite_schema UNION ALL SELECT sql FROM sqlite_temp_schema)
	WHERE sql LIKE '%CONFLICT%FAIL%' OR sql LIKE '%RAISE%FAIL%') AS TEXT)`

// answer is that to a question which is asked once.
type answer uint8

const (
	unasked answer = iota
	yes
	not
)
