package pool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// setUp makes all connections alike.
func (p *Pool) setUp(ctx context.Context, c *conn, order order, slotHeld bool) error {
	if err := p.setPragmas(ctx, c, order, slotHeld); err != nil {
		return err
	}
	if p.cfg.OnConnect != nil {
		if err := p.onConnect(ctx, c); err != nil {
			return &onConnectError{err}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.New("OnConnect closed its connection")
	}
	if err := c.keepAttached(); err != nil {
		return err
	}
	c.locks.kept = 0
	err := c.clean(ErrReleased)
	c.locks.exempt, c.changes = false, nil
	c.epoch++
	if err == nil && order == firstConnection {
		p.learnState(c)
	}
	return err
}

func (p *Pool) setPragmas(ctx context.Context, c *conn, order order, slotHeld bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.locks.exempt = true
	defer func() { c.locks.exempt = slotHeld }()

	// SQLite opens a file that it may not write for reading. That would be a
	// connection that stays so when the right is back.
	if order == firstConnection {
		p.source.unwritable = c.db.ReadOnly()
	} else if c.db.ReadOnly() && !p.source.unwritable && !p.cfg.ReadOnly {
		return p.fail("open", ErrReadOnly, nil, "the file may not be written any more")
	}
	cl := &call{Context: ctx, epoch: c.epoch, part: outside, kind: poolCall}
	c.db.SetBusyTimeout(0) // the waiting is ours: see patiently
	c.guard.busyTimeout = max(p.cfg.BusyTimeout, 0)
	c.db.SetFunctions(p.source.builtin)
	if c.guard.journal = string(p.cfg.JournalMode); p.memory() {
		c.guard.journal = "memory"
	}
	names := slices.Sorted(maps.Keys(p.cfg.Pragmas))
	set := func(name string) error {
		if err := c.control(cl, "PRAGMA "+name+"="+p.cfg.Pragmas[name]); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
		return nil
	}
	for _, pragma := range []string{"foreign_keys=on", "trusted_schema=off", "cell_size_check=on"} {
		if err := c.control(cl, "PRAGMA "+pragma); err != nil {
			return err
		}
	}
	for _, name := range names {
		if strings.EqualFold(name, "trusted_schema") { // before anything reads the schema
			if err := set(name); err != nil {
				return err
			}
		}
	}
	for _, pragma := range p.logPragmas() {
		if err := c.control(cl, "PRAGMA "+pragma); err != nil {
			return err
		}
	}
	for _, name := range names { // before the journal mode: page_size and auto_vacuum do nothing in WAL mode
		if err := set(name); err != nil {
			return err
		}
	}
	if err := p.setCheckpoint(c, cl); err != nil {
		return err
	}
	// Before the journal mode too, whose change is synced likewise.
	if err := c.control(cl, "PRAGMA synchronous="+string(p.synchronous())); err != nil {
		return err
	}
	switch {
	case p.memory():
	case p.cfg.ReadOnly:
		got, err := c.word(cl, "PRAGMA main.journal_mode")
		if err != nil {
			return err
		}
		c.guard.journal = got
	default:
		if err := p.setJournal(c, cl, order); err != nil {
			return err
		}
	}
	if err := c.lookAtAttached(false); err != nil { // what the driver's connection hooks attach
		return err
	}
	if err := p.useLog(c, cl); err != nil || order != firstConnection {
		return err
	}
	return p.learnFunctions(c, cl)
}

// learnFunctions asks which functions are SQLite's own, so that those which the
// program registered with the driver can be told from them.
// See https://www.sqlite.org/pragma.html#pragma_function_list.
func (p *Pool) learnFunctions(c *conn, cl *call) error {
	names, err := c.word(cl, "SELECT group_concat(name) FROM (SELECT name FROM pragma_function_list GROUP BY name HAVING min(builtin))")
	if err != nil {
		return err
	}
	p.source.builtin = map[string]bool{}
	for name := range strings.SplitSeq(names, ",") {
		p.source.builtin[strings.ToLower(name)] = true
	}
	c.db.SetFunctions(p.source.builtin)
	trusting, err := c.word(cl, "SELECT CAST(trusted_schema AS TEXT) FROM pragma_trusted_schema")
	p.source.callsProgram = trusting == "1"
	return err
}

// synchronous is what Config.Synchronous means in the journal mode.
func (p *Pool) synchronous() Synchronous {
	if p.cfg.Synchronous == SyncFull && p.cfg.JournalMode == JournalDelete {
		// A commit is the journal's deletion, and only EXTRA syncs that: after a
		// power loss the journal could be back, and undo what was acknowledged.
		return SyncExtra
	}
	return p.cfg.Synchronous
}

// logPragmas say how the log is kept. One that grew is cut back to the limit
// when it is begun anew; it is not bounded by it.
func (p *Pool) logPragmas() []string {
	pragmas := []string{"journal_size_limit=" + strconv.Itoa(logKept)}
	if p.cfg.ExternalCheckpoints {
		pragmas = append(pragmas, "wal_autocheckpoint=0")
	}
	return pragmas
}

// setCheckpoint says how many pages of the log call for a checkpoint, unless
// somebody else has said so: as many as its file has room for.
func (p *Pool) setCheckpoint(c *conn, cl *call) error {
	if p.cfg.JournalMode != JournalWAL || p.cfg.ExternalCheckpoints || p.write == nil || p.memory() {
		return nil
	}
	for name := range p.cfg.Pragmas {
		if strings.EqualFold(name, "wal_autocheckpoint") {
			return nil
		}
	}
	size, err := c.word(cl, "SELECT CAST(page_size AS TEXT) FROM pragma_page_size")
	if err != nil {
		return err
	}
	bytes, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	return c.control(cl, "PRAGMA wal_autocheckpoint="+strconv.Itoa(checkpointBytes/bytes))
}

// setJournal switches the journal mode, or sees that it is still what the first
// connection made it: of main, else that of attached files would be set too.
func (p *Pool) setJournal(c *conn, cl *call, order order) error {
	text := "PRAGMA main.journal_mode"
	if order == firstConnection || p.cfg.JournalMode != JournalWAL { // only WAL is the file's; the others are a connection's
		text += "=" + string(p.cfg.JournalMode)
	}
	got, err := c.word(cl, text)
	if err != nil {
		return err
	}
	if JournalMode(got) != p.cfg.JournalMode {
		return fmt.Errorf("journal mode is %q, not %q", got, p.cfg.JournalMode)
	}
	return nil
}
