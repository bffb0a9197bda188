package pool

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// prepare compiles one statement, and refuses what may not even be prepared here;
// key is what it will be cached under.
func (c *conn) prepare(cl *call, key, text string) (*sqlite.Stmt, error) {
	if err := c.locks.takeToPrepare(c, cl, text); err != nil {
		return nil, err
	}
	var s *sqlite.Stmt
	var refused error
	refuse := func(e sqlite.Effects) bool {
		if field := c.configField(e.Pragma); field != "" {
			refused = c.pool.fail("query", ErrConfig, nil, "this concerns the whole pool; set Config."+field)
		} else if !cl.mayControl(&e) {
			refused = c.pool.fail("query", ErrTxControl, nil, "use InTx, Begin or Savepoint instead of "+sqlite.FirstWord(text))
		}
		return refused != nil
	}
	compile := func() (err error) {
		s, err = c.db.Prepare(text, key, refuse)
		return err
	}
	var err error
	if isBusyTimeout(text) {
		err = c.withBusyTimeout(compile)
	} else if err = c.interruptible(cl, nil, compile); isForeignLock(err) {
		err = c.patiently(cl, nil, compile, err)
	}
	switch {
	case refused != nil:
		err = refused
	case err != nil:
		return nil, c.leave(cl, err)
	default:
		err = c.prepared(s)
	}
	if err != nil {
		if s != nil {
			_ = s.Close()
		}
		c.locks.settle(c)
		return nil, err
	}
	return s, nil
}

// prepared keeps account of what a statement has done while it was prepared, and
// refuses one that would do nothing without a word.
func (c *conn) prepared(s *sqlite.Stmt) error {
	g, p := &c.guard, s.Effects.Pragma
	if err := c.ignored(p); err != nil {
		return err
	}
	switch p.Name {
	case "busy_timeout":
		if ms, err := strconv.Atoi(p.Argument); err == nil {
			g.busyTimeout = time.Duration(max(ms, 0)) * time.Millisecond
		}
	case "defer_foreign_keys":
		g.deferring = g.deferring || p.Sets
	}
	if _, whole := filePragmas[p.Name]; whole && p.Sets {
		switch {
		case !ofMain(p):
			c.preparedForAttached(s)
		case !c.locks.exempt && c.isSet(p):
			s.Writes = false // so it may be said in a view too
		}
	}
	if change := c.changeBy(&s.Effects); change != "" {
		c.changed(change)
	}
	return nil
}

// changeBy names what a statement leaves on its connection beyond the lease; "" if
// that is nothing.
func (c *conn) changeBy(e *sqlite.Effects) string {
	p := &e.Pragma
	switch {
	case e.Temp:
		return stateTemp
	case e.TempRows:
		return stateTempRows
	case p.Name == "" && e.Attaches:
		return stateAttached
	case !p.Sets:
		return ""
	}
	switch p.Name {
	case "optimize", "table_info", "table_xinfo", "table_list", "index_info", "index_xinfo", "index_list",
		"foreign_key_list", "foreign_key_check", "integrity_check", "quick_check",
		"wal_checkpoint", "incremental_vacuum", "shrink_memory", "user_version", "application_id": // the database's, not the connection's
		return ""
	case "busy_timeout":
		if _, err := strconv.Atoi(p.Argument); err != nil {
			return ""
		}
	case "defer_foreign_keys": // ends with the transaction, if there is one
		if c.guard.inTx() {
			return ""
		}
	case "journal_mode":
		if !e.Attaches && !strings.EqualFold(p.Schema, "temp") {
			return ""
		}
	case "locking_mode":
		if ofMain(*p) && c.isSet(*p) {
			return ""
		}
	}
	return "PRAGMA " + p.Name
}

// isBusyTimeout reports a PRAGMA that acts on the busy timeout while it is prepared.
func isBusyTimeout(text string) bool {
	return sqlite.FirstWord(text) == "PRAGMA" && strings.Contains(strings.ToLower(text), "busy_timeout")
}

// filePragmas concern the whole pool, or other processes, if a statement sets them
// for main, and have a field of Config.
var filePragmas = map[string]string{
	"journal_mode": "JournalMode",
	"locking_mode": "MaxConns",
}

// ofMain reports that a PRAGMA is for main; without a schema it is for all of them.
func ofMain(p sqlite.Pragma) bool { return p.Schema == "" || strings.EqualFold(p.Schema, "main") }

// configField names what of Config decides what the PRAGMA would set; "" if it may
// be set here.
func (c *conn) configField(p sqlite.Pragma) string {
	field, whole := filePragmas[p.Name]
	switch settingUp := c.locks.exempt || c.pool.cfg.ReadOnly; {
	case !whole || !p.Sets || settingUp:
	case !ofMain(p):
		a := c.guard.attached.find(p.Schema)
		if a != nil && a.always && a.mode == "wal" && p.Name == "journal_mode" && p.Argument != "" && !strings.EqualFold(a.mode, p.Argument) {
			return "OnConnect to do it where it attaches " + p.Schema
		}
	case !c.isSet(p):
		return field
	}
	return ""
}

// isSet reports that a PRAGMA of the whole pool's would set what is set already:
// libraries do that to be sure. In memory SQLite leaves the journal mode as it is
// when it is asked for a log.
func (c *conn) isSet(p sqlite.Pragma) bool {
	switch arg := strings.ToLower(p.Argument); p.Name {
	case "journal_mode":
		g := &c.guard
		others := slices.ContainsFunc(g.attached.databases, func(a attachment) bool { return a.mode != arg })
		return (p.Schema != "" || !others) && (arg == g.journal || arg == "wal" && g.journal == "memory")
	default:
		return arg == "normal"
	}
}
