package pool

import (
	"database/sql/driver"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
)

// guard knows the transaction that a connection is in, and notices when SQLite
// has ended it by itself. conn.mu guards it.
type guard struct {
	serials    []uint64 // of the open transactions, the outermost first
	lastSerial uint64
	lost       error  // why the transaction is gone although nobody ended it
	committing bool   // the pool has ordered this commit
	sets       bool   // the statement being prepared has an argument, if it is a PRAGMA; '' is one too
	deferring  bool   // PRAGMA defer_foreign_keys was set in this transaction
	argument   string // of the PRAGMA being prepared
	unenforced bool   // this transaction was told to switch foreign keys off, and they were
	textual    bool   // a transaction was begun as text, through DB
	prepping   bool   // a caller's statement is being prepared
	mayControl bool   // and may control transactions
	maySave    bool   // or savepoints alone
	exempt     bool   // it is the pool's own
	settingUp  bool   // it is, or nothing can be written anyway
	owned      string // it was refused since it would set what this field of Config is for
	refused    bool   // it was refused since it would have
	seen       effects
	attached   attached
	builtin    map[string]bool // the functions that are SQLite's own; the pool's, which nobody changes

	busyTimeout time.Duration // what PRAGMA busy_timeout shows
	journal     string        // the journal mode; nobody changes it
}

// effects is what preparing a statement tells about it besides its rows.
type effects struct {
	control  bool   // it begins or ends a transaction or savepoint
	whole    bool   // of these, a transaction
	changes  string // what it changes on the connection beyond the lease's end
	writes   bool   // it writes although SQLite calls it read-only
	reads    bool   // it only reads although SQLite says that it writes
	pragma   bool   // it is a PRAGMA: some of them act while they are prepared
	timeout  bool   // it reads or sets the busy timeout
	calls    bool   // it calls a function of the program's
	fires    bool   // a trigger of it writes
	rowid    bool   // it asks for the last rowid
	attaches bool   // it changes which databases are attached, or how
	name     string // of what it attaches, if that is written in it
}

// install makes SQLite ask the guard: the authorizer while a statement is
// prepared, the commit hook before anything becomes permanent.
func (c *conn) install() error {
	c.raw.RegisterCommitHook(c.vetoCommit)
	return c.raw.RegisterAuthorizer(c.guard.authorize)
}

// vetoCommit is the second line: a statement that was meant for a transaction must
// not commit on its own after that transaction was lost.
func (c *conn) vetoCommit() int32 {
	if len(c.guard.serials) > 0 && !c.guard.committing {
		return 1
	}
	return 0
}

// authorize is called by SQLite for everything a statement would do, while it
// is being prepared (https://www.sqlite.org/c3ref/set_authorizer.html).
func (g *guard) authorize(action sqlite.AuthorizerActionCode, arg1, arg2, schema, trigger string) sqlite.AuthorizerReturnCode {
	if !g.prepping {
		return sqlite.AuthorizerOK // VACUUM begins a transaction of its own while it runs
	}
	switch action {
	case sqlite.AuthTransaction, sqlite.AuthSavepoint:
		g.seen.control = true
		g.seen.whole = g.seen.whole || action == sqlite.AuthTransaction
		if !g.mayControl && (g.seen.whole || !g.maySave) {
			g.refused = true
			return sqlite.AuthorizerDeny
		}
	case sqlite.AuthPragma:
		name := strings.ToLower(arg1)
		field, own := filePragmaFields[name]
		switch {
		case !own || !g.sets:
			g.pragma(name, arg2)
		case schema != "" && !strings.EqualFold(schema, "main"):
			g.pragma(name, arg2)
			g.filePragma(name, arg2, schema)
		case !g.exempt && g.isSet(name, arg2, schema):
			g.seen.pragma, g.seen.reads = true, true
		case g.settingUp: // without a schema it is for all of them
			g.pragma(name, arg2)
		default:
			g.owned = field
		}
		if g.owned != "" {
			return sqlite.AuthorizerDeny
		}
	case sqlite.AuthRead:
		switch arg1 {
		case "pragma_optimize":
			g.seen.writes = true
		case "pragma_busy_timeout":
			g.seen.timeout = true
		}
	case sqlite.AuthInsert, sqlite.AuthUpdate, sqlite.AuthDelete:
		g.seen.fires = g.seen.fires || trigger != ""
	case sqlite.AuthReindex:
		g.seen.writes = true
	case sqlite.AuthFunction:
		g.seen.calls = g.seen.calls || !g.builtin[strings.ToLower(arg2)]
		g.seen.rowid = g.seen.rowid || strings.EqualFold(arg2, "last_insert_rowid")
	case sqlite.AuthAttach:
		g.attach(arg1)
	case sqlite.AuthDetach:
		g.attach("")
	case sqlite.AuthCreateTempIndex, sqlite.AuthCreateTempTable, sqlite.AuthCreateTempTrigger, sqlite.AuthCreateTempView,
		sqlite.AuthDropTempIndex, sqlite.AuthDropTempTable, sqlite.AuthDropTempTrigger, sqlite.AuthDropTempView:
		g.seen.changes = stateTemp
	}
	return sqlite.AuthorizerOK
}

// pragma sorts PRAGMAs, which look alike to the authorizer whether they read or
// set something (https://www.sqlite.org/pragma.html).
func (g *guard) pragma(name, arg string) {
	g.seen.pragma, g.argument = true, arg
	switch name {
	case "optimize":
		g.seen.writes = true
	case "journal_mode":
		g.seen.reads = arg == ""
	case "busy_timeout":
		g.seen.timeout = true
		if ms, err := strconv.Atoi(arg); err == nil {
			g.seen.changes = stateBusyTimeout
			g.busyTimeout = time.Duration(max(ms, 0)) * time.Millisecond
		}
	case "table_info", "table_xinfo", "table_list", "index_info", "index_xinfo", "index_list",
		"foreign_key_list", "foreign_key_check", "integrity_check", "quick_check",
		"wal_checkpoint", "incremental_vacuum", "shrink_memory", "user_version", "application_id": // the database's, not the connection's
	case "defer_foreign_keys": // ends with the transaction, if there is one
		g.deferring = g.deferring || g.sets
		if g.sets && !g.inTx() {
			g.seen.changes = "PRAGMA " + name
		}
	default:
		if g.sets {
			g.seen.changes = "PRAGMA " + name
		}
	}
}

// filePragmaFields are the fields of Config that decide what would concern the
// whole pool, or the other processes, if a statement set it.
var filePragmaFields = map[string]string{
	"journal_mode": "JournalMode",
	"locking_mode": "MaxConns",
}

// isSet reports that a PRAGMA of the whole pool's would set what is set already:
// libraries do that to be sure. In memory SQLite leaves the journal mode as it is
// when it is asked for a log.
func (g *guard) isSet(name, arg, schema string) bool {
	switch arg = strings.ToLower(arg); name {
	case "journal_mode":
		others := slices.ContainsFunc(g.attached.databases, func(a attachment) bool { return a.mode != arg })
		return (schema != "" || !others) && (arg == g.journal || arg == "wal" && g.journal == "memory")
	default:
		return arg == "normal"
	}
}

// prepare compiles one statement; key is what it will be cached under.
func (c *conn) prepare(cl *call, key, text string) (*statement, error) {
	if err := c.locks.prepare(c, cl, text); err != nil {
		return nil, err
	}
	g := &c.guard
	g.prepping, g.mayControl, g.maySave = true, cl.control, cl.savepoints
	g.exempt, g.settingUp = c.locks.exempt, c.locks.exempt || c.pool.cfg.ReadOnly
	g.sets = strings.ContainsAny(text, "=(")
	g.refused, g.owned, g.seen = false, "", effects{}
	var s sqliteStmt
	compile := func() error {
		prepared, err := c.raw.Prepare(text)
		if err == nil {
			s = prepared.(sqliteStmt)
		}
		return err
	}
	var err error
	if isBusyTimeout(text) {
		err = c.withBusyTimeout(compile)
	} else {
		err = c.patiently(cl, nil, compile)
	}
	g.prepping = false
	if err != nil {
		if g.owned != "" {
			c.locks.settle(c)
			return nil, c.pool.fail("query", ErrConfig, nil, "this concerns the whole pool; set Config."+g.owned)
		}
		if g.refused {
			c.locks.settle(c)
			return nil, c.pool.fail("query", ErrTxControl, nil, "use InTx, Begin or Savepoint instead of "+firstWord(text))
		}
		return nil, c.leave(cl, err)
	}
	pstmt, err := c.h.statement(s)
	if err == nil && pstmt == 0 {
		err = errors.New("the driver takes this single statement for a script: " + text)
	}
	if err != nil {
		_ = s.Close()
		c.locks.settle(c)
		return nil, c.pool.fail("prepare", nil, err)
	}
	writes := (c.h.writes(pstmt) || g.seen.writes) && !g.seen.reads
	if g.seen.pragma {
		key = "" // to act again it must be prepared again
	}
	if err := c.ignored(); err != nil {
		_ = s.Close()
		c.locks.settle(c)
		return nil, err
	}
	if g.seen.changes != "" {
		c.changed(g.seen.changes)
	}
	made := &statement{sqliteStmt: s, h: &c.h, pstmt: pstmt, text: text, key: key, writes: writes, effects: g.seen, format: c.pool.cfg.TimeFormat, taken: true}
	made.describe()
	return made, nil
}

func firstWord(text string) string {
	_, end := token(text, 0)
	return strings.ToUpper(text[:end])
}

// isBusyTimeout reports a PRAGMA that acts on the busy timeout while it is prepared.
func isBusyTimeout(text string) bool {
	return firstWord(text) == "PRAGMA" && strings.Contains(strings.ToLower(text), "busy_timeout")
}

// admit refuses a statement that may not run here, or not any more.
func (c *conn) admit(cl *call) error {
	switch inTx := cl.depth >= 0; {
	case cl.epoch != c.epoch && inTx:
		return c.pool.fail("query", ErrTxDone, nil)
	case cl.epoch != c.epoch:
		return c.pool.fail("query", ErrReleased, nil)
	case c.closed || !c.leased: // under its lease
		return c.pool.fail("query", ErrClosed, nil)
	case inTx && (cl.depth >= len(c.guard.serials) || c.guard.serials[cl.depth] != cl.serial):
		return c.pool.fail("query", ErrTxDone, nil)
	case c.guard.lost != nil && !cl.steady:
		return c.lostError("query")
	case !cl.steady:
		return cl.Context.Err()
	}
	return nil
}

// enter does what must be done before a statement runs.
func (c *conn) enter(cl *call, s *statement, args []driver.NamedValue) error {
	if err := s.check(sorted(args)); err != nil {
		return err
	}
	switch {
	case s.effects.control && !cl.control && (s.effects.whole || !cl.savepoints):
		return c.pool.fail("query", ErrTxControl, nil, "use InTx, Begin or Savepoint instead")
	case s.writes && (cl.readOnly || c.pool.cfg.ReadOnly) && !s.effects.control:
		return c.pool.fail("write", ErrReadOnly, nil)
	case !s.effects.control && c.guard.inTx() && c.h.autocommit():
		c.guard.lost = errors.New("no transaction is open any more")
		return c.lostError("query")
	}
	if s.effects.changes != "" { // it may have been prepared by OnConnect
		c.changed(s.effects.changes)
	}
	return c.locks.take(c, cl, s)
}

// check notices that the transaction is gone after a statement failed with err.
func (g *guard) check(c *conn, err error) {
	if err != nil && g.inTx() && g.lost == nil && !g.committing && c.h.autocommit() {
		g.lost = err
		c.pool.counts.lost.Add(1)
	}
}

func (c *conn) lostError(op string) error {
	return c.pool.fail(op, ErrTxLost, c.guard.lost)
}

// control runs one of the pool's own transaction statements.
func (c *conn) control(cl *call, text string) error {
	s := c.cache.take(text)
	if s == nil {
		var err error
		if s, err = c.prepare(cl, text, text); err != nil {
			return err
		}
	}
	_, err := c.complete(cl, s, nil)
	return err
}

func (g *guard) inTx() bool { return len(g.serials) > 0 || g.textual }

// endLostText lets text end a transaction that was begun as text and lost: a
// ROLLBACK finds it done, a COMMIT learns of it.
func (c *conn) endLostText(cl *call, query string) (ended bool, err error) {
	switch c.endOfLostText(cl, query) {
	case "":
		return false, nil
	case "COMMIT":
		err = c.lostError("commit")
	}
	c.guard.pop(0)
	return true, err
}

// endOfLostText is COMMIT or ROLLBACK, if that is what the text means to such a
// transaction.
func (c *conn) endOfLostText(cl *call, query string) string {
	if c.guard.lost == nil || !c.guard.textual || !cl.control || cl.epoch != c.epoch {
		return ""
	}
	parts := split(query)
	if len(parts) != 1 {
		return ""
	}
	switch words := strings.Fields(strings.ToUpper(parts[0])); {
	case words[0] == "ROLLBACK" && !slices.Contains(words, "TO"):
		return "ROLLBACK"
	case words[0] == "COMMIT", words[0] == "END":
		return "COMMIT"
	}
	return ""
}

// push and pop keep the stack of open transactions.
func (g *guard) push() (serial uint64) {
	g.lastSerial++
	g.serials = append(g.serials, g.lastSerial)
	return g.lastSerial
}

func (g *guard) pop(depth int) {
	g.serials = g.serials[:depth]
	if depth == 0 {
		g.lost, g.deferring, g.textual, g.unenforced = nil, false, false, false
	}
}
