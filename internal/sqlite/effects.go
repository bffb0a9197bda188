package sqlite

import (
	"errors"
	"strings"

	modernc "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// Effects are what preparing a statement tells about it besides its rows. The zero
// value is that of a statement that does nothing but read and write tables,
// without a trigger or a function of the program's.
type Effects struct {
	Transaction bool // It begins or ends a transaction.
	Rollback    bool // It ends one by undoing it.
	Savepoint   Savepoint
	Temp        bool   // It makes or drops a TEMP object.
	TempRows    bool   // It writes rows of a TEMP table.
	Drops       bool   // It drops a table.
	Attaches    bool   // It is ATTACH or DETACH.
	Attached    string // This file is attached, if that is written in the statement.
	Calls       bool   // It calls a function of the program's.
	Fires       bool   // A trigger of it writes.
	Rowid       bool   // It asks for the last rowid.
	BusyTimeout bool   // It reads or sets the busy timeout.
	Pragma      Pragma // It is this PRAGMA; the Name is "" if it is none.

	writes bool // It writes although SQLite calls it read-only.
	reads  bool // It only reads although SQLite says that it writes.
}

// Control reports that the statement begins or ends a transaction or savepoint.
func (e *Effects) Control() bool { return e.Transaction || e.Savepoint.Act != "" }

// Savepoint is what a statement does to savepoints; the Act is "" if that is nothing.
type Savepoint struct {
	Act  string // BEGIN, RELEASE or ROLLBACK
	Name string
}

// Pragma is a PRAGMA statement. Some act while they are prepared.
type Pragma struct {
	Schema   string // The database that it is for; "" if none is written.
	Name     string // Its name in lower case.
	Argument string
	Sets     bool // It has an argument, which may be ''.
}

// Authorize is what SQLite asks about everything that a statement would do, while
// that is being prepared (https://www.sqlite.org/c3ref/set_authorizer.html).
func (c *Conn) Authorize(action modernc.AuthorizerActionCode, arg1, arg2, schema, trigger string) modernc.AuthorizerReturnCode {
	c.tables.note(action, arg1, schema)
	if !c.preparing {
		return modernc.AuthorizerOK // VACUUM begins a transaction of its own while it runs
	}
	e := &c.effects
	switch action {
	case modernc.AuthTransaction:
		e.Transaction, e.Rollback = true, arg1 == "ROLLBACK"
		return c.verdict()
	case modernc.AuthSavepoint:
		e.Savepoint = Savepoint{Act: arg1, Name: arg2}
		return c.verdict()
	case modernc.AuthPragma:
		e.Pragma.Schema, e.Pragma.Name, e.Pragma.Argument = schema, strings.ToLower(arg1), arg2
		e.sortPragma()
		return c.verdict()
	case modernc.AuthRead:
		switch arg1 {
		case "pragma_optimize":
			e.writes = true
		case "pragma_busy_timeout":
			e.BusyTimeout = true
		}
	case modernc.AuthInsert, modernc.AuthUpdate, modernc.AuthDelete:
		e.Fires = e.Fires || trigger != ""
		e.TempRows = e.TempRows || schema == "temp" && !strings.HasPrefix(arg1, "sqlite_")
	case modernc.AuthReindex:
		e.writes = true
	case modernc.AuthFunction:
		e.Calls = e.Calls || !c.builtin[strings.ToLower(arg2)]
		e.Rowid = e.Rowid || strings.EqualFold(arg2, "last_insert_rowid")
	case modernc.AuthDropTable:
		e.Drops = true
	case modernc.AuthAttach:
		e.Attaches, e.Attached = true, arg1
	case modernc.AuthDetach:
		e.Attaches = true
	case modernc.AuthCreateTempIndex, modernc.AuthCreateTempTable, modernc.AuthCreateTempTrigger, modernc.AuthCreateTempView,
		modernc.AuthDropTempIndex, modernc.AuthDropTempTable, modernc.AuthDropTempTrigger, modernc.AuthDropTempView:
		e.Temp = true
	}
	return modernc.AuthorizerOK
}

func (c *Conn) verdict() modernc.AuthorizerReturnCode {
	if c.refuse(c.effects) {
		return modernc.AuthorizerDeny
	}
	return modernc.AuthorizerOK
}

// sortPragma knows PRAGMAs that SQLite's verdict on writing is wrong about: they
// look alike to it whether they read or set something.
func (e *Effects) sortPragma() {
	switch e.Pragma.Name {
	case "optimize":
		e.writes = true
	case "journal_mode":
		e.reads = e.Pragma.Argument == ""
	case "busy_timeout":
		e.BusyTimeout = true
	}
}

// Prepare compiles one statement. key is what the cache knows it by; "" if it is
// not to be cached. refuse is asked about what controls transactions and about a
// PRAGMA, before that acts; Prepare fails if it is refused.
func (c *Conn) Prepare(text, key string, refuse func(Effects) bool) (*Stmt, error) {
	c.preparing, c.refuse, c.tables = true, refuse, Tables{}
	c.effects = Effects{Pragma: Pragma{Sets: strings.ContainsAny(text, "=(")}}
	prepared, err := c.driver.Prepare(text)
	c.preparing, c.refuse = false, nil
	if err != nil {
		return nil, err
	}
	pstmt, err := statementOf(prepared)
	if err == nil && pstmt == 0 {
		err = errors.New("the driver takes this single statement for a script: " + text)
	}
	if err != nil {
		return nil, errors.Join(err, prepared.Close())
	}
	e := c.effects
	if e.Pragma.Name == "" {
		e.Pragma = Pragma{}
	} else {
		key = "" // to act again it must be prepared again
	}
	// SQLite's own word on whether it writes, but for what it is wrong about: see
	// https://www.sqlite.org/c3ref/stmt_readonly.html.
	writes := (lib.Xsqlite3_stmt_readonly(c.tls, pstmt) == 0 || e.writes) && !e.reads
	e.writes, e.reads = false, false
	s := &Stmt{conn: c, driver: prepared, pstmt: pstmt, Text: text, key: key, Writes: writes, Effects: e, Tables: c.tables, taken: true}
	if FirstWord(text) == "VACUUM" && !HasWord(text, "INTO") {
		s.Tables.Schema = true // it asks nothing
	}
	s.describe()
	return s, nil
}
