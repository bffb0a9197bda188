package pool

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// What a statement leaves on its connection, besides what it does to the
// database, goes by the name of the PRAGMA, or by one of these.
const (
	stateAttached = "ATTACH"
	stateTemp     = "TEMP objects"
	stateTempRows = "rows of a TEMP table"
	stateRaw      = "the driver's connection" // in the program's own hands
	stateOrphaned = "rows or statements in somebody's hands"

	stateForeignKeys = "PRAGMA foreign_keys"
	stateDeferred    = "PRAGMA defer_foreign_keys"
	stateBusyTimeout = "PRAGMA busy_timeout" // which SQLite is not told of: see patiently
)

// stateTexts read what can be set on a connection and can be read again. What is
// missing, such as the page size that the next VACUUM will give the file, cannot
// be told from the connection. See https://www.sqlite.org/pragma.html.
var stateTexts = map[string]string{
	stateAttached:                      "SELECT group_concat(name || ' ' || file) FROM pragma_database_list WHERE name <> 'temp'",
	stateTemp:                          "SELECT group_concat(type || ' ' || name || ' ' || ifnull(sql, '')) FROM sqlite_temp_schema",
	"PRAGMA case_sensitive_like":       "SELECT 'a' LIKE 'A'",
	"PRAGMA analysis_limit":            "",
	"PRAGMA automatic_index":           "",
	"PRAGMA cache_size":                "",
	"PRAGMA cache_spill":               "",
	"PRAGMA cell_size_check":           "",
	"PRAGMA checkpoint_fullfsync":      "",
	"PRAGMA count_changes":             "",
	stateDeferred:                      "",
	"PRAGMA empty_result_callbacks":    "",
	stateForeignKeys:                   "",
	"PRAGMA full_column_names":         "",
	"PRAGMA fullfsync":                 "",
	"PRAGMA ignore_check_constraints":  "",
	"PRAGMA journal_size_limit":        "",
	"PRAGMA legacy_alter_table":        "",
	"PRAGMA max_page_count":            "",
	"PRAGMA mmap_size":                 "",
	"PRAGMA query_only":                "",
	"PRAGMA read_uncommitted":          "",
	"PRAGMA recursive_triggers":        "",
	"PRAGMA reverse_unordered_selects": "",
	"PRAGMA secure_delete":             "",
	"PRAGMA short_column_names":        "",
	"PRAGMA synchronous":               "",
	"PRAGMA temp_store":                "",
	"PRAGMA threads":                   "",
	"PRAGMA trusted_schema":            "",
	"PRAGMA wal_autocheckpoint":        "",
	"PRAGMA writable_schema":           "",
}

// readState reads what the connection is set to. ok is false if it does not say.
// The caller holds mu.
func (c *conn) readState(what string) (value string, ok bool) {
	text, readable := stateTexts[what]
	switch {
	case what == stateBusyTimeout:
		return c.guard.busyTimeout.String(), true
	case what == stateTempRows: // they are gone with the last table that could hold them
		objects, ok := c.readState(stateTemp)
		return "", ok && objects == ""
	case !readable:
		return "", false
	case text == "":
		text = what
	}
	value, err := c.db.Word(text) // past the lanes: nothing of this waits, or reads the database
	return value, err == nil
}

// learnState takes the connection as what every one of the pool's is set to.
// The caller holds mu.
func (p *Pool) learnState(c *conn) {
	p.source.settings = map[string]string{stateTempRows: "", stateBusyTimeout: max(p.cfg.BusyTimeout, 0).String()}
	for what := range stateTexts {
		if value, ok := c.readState(what); ok {
			p.source.settings[what] = value
		}
	}
}

// changed notes that something was done to the connection that outlives its lease.
func (c *conn) changed(what string) {
	if !slices.Contains(c.changes, what) {
		c.changes = append(c.changes, what)
	}
}

// dirty reports that the connection is not as the pool has set it up. What was set
// back, or set to what it was, counts for nothing. The caller holds mu.
func (c *conn) dirty() bool {
	if len(c.changes) == 0 {
		return false
	}
	if slices.Contains(c.changes, stateDeferred) {
		if now, _ := c.readState(stateDeferred); now == "1" {
			return true // until the next statement that reads or writes, which is not to be one of these
		}
	}
	c.changes = slices.DeleteFunc(c.changes, func(what string) bool {
		now, ok := c.readState(what)
		own, known := c.pool.source.settings[what]
		return ok && known && now == own
	})
	return len(c.changes) > 0
}

// keysSaid is what a transaction was told of foreign keys by PRAGMA, in vain.
type keysSaid uint8

const (
	keysUnsaid keysSaid = iota
	keysAreOff          // to switch them off, as they were already
	keysStayOn          // to switch them off, which was refused
)

// ignored is an error if the PRAGMA that was prepared last sets what SQLite, without
// a word, lets nobody set in a transaction: foreign_keys, the only one of its kind
// (https://www.sqlite.org/pragma.html#pragma_foreign_keys). A migration that was
// written to run without them would lose the rows that refer to what it drops.
// One that brings "off" and "on" along, as ent's and Atlas's do, may say both where
// they are off already: whoever switched them off before it switches them on after it.
func (c *conn) ignored(p sqlite.Pragma) error {
	if p.Name != "foreign_keys" || !p.Sets || c.db.Autocommit() {
		return nil
	}
	g := &c.guard
	now, ok := c.readState(stateForeignKeys)
	switch on := isTrue(p.Argument); {
	case ok && (now == "1") == on:
		if !on {
			g.keys = keysAreOff
		}
		return nil
	case on && g.keys == keysAreOff:
		return nil
	case !on: // and who said it may go on as if it were so
		g.keys = keysStayOn
	}
	return c.pool.fail("query", errors.ErrUnsupported, nil, "PRAGMA foreign_keys = "+p.Argument+
		" does nothing inside a transaction; set it before the transaction begins, on the same connection (in a goose migration: -- +goose NO TRANSACTION)")
}

// isTrue reads a PRAGMA's argument as SQLite does one that switches something on
// or off (https://www.sqlite.org/pragma.html).
func isTrue(arg string) bool {
	switch strings.ToLower(arg) {
	case "on", "yes", "true":
		return true
	}
	digits, base, known := arg, 10, "0123456789"
	if strings.HasPrefix(strings.ToLower(arg), "0x") {
		digits, base, known = arg[2:], 16, "0123456789abcdefABCDEF"
	}
	if end := strings.IndexFunc(digits, func(r rune) bool { return !strings.ContainsRune(known, r) }); end >= 0 {
		digits = digits[:end]
	}
	n, err := strconv.ParseUint(digits, base, 31)
	return err == nil && uint8(n) != 0 // SQLite keeps a byte of it
}

// left says what the connection would carry beyond its lease, for people; "" if
// that is nothing. The caller holds mu.
func (c *conn) left() string {
	c.dirty()
	left := slices.Clone(c.changes)
	if c.guard.textual {
		left = append(left, "a transaction begun as text")
	}
	return strings.Join(left, ", ")
}
