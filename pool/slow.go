package pool

import (
	"log/slog"
	"strings"
	"time"

	"github.com/sqlane/sqlane/internal/sqlite"
	lib "modernc.org/sqlite/lib"
)

// stopwatch measures what a statement spends inside SQLite, for Config.SlowQuery.
// What it waits for, lanes and locks of others, and what the reader of its rows does
// between them is not in it.
type stopwatch struct{ ran time.Duration }

// started is when SQLite was called, on the pool's clock; 0 if nobody wants to know.
func (c *conn) started() (at time.Duration) {
	if c.pool.cfg.SlowQuery > 0 {
		at = c.pool.clock()
	}
	return at
}

// stopped adds the time since then.
func (w *stopwatch) stopped(c *conn, at time.Duration) {
	if at != 0 {
		w.ran += c.pool.clock() - at
	}
}

// reset begins to measure a statement.
func (w *stopwatch) reset(c *conn, s *sqlite.Stmt) {
	if c.pool.cfg.SlowQuery > 0 {
		w.ran = 0
		s.TakeEffort()
	}
}

// reportSlow logs a statement that ran for longer than Config.SlowQuery. It is called
// when the statement has ended, before it and the locks that it needed are given back:
// to prepare its explanation may read the schema. That takes no lock that it would have
// to wait for, opens no transaction, and is no statement for anybody else.
func (c *conn) reportSlow(cl *call, s *sqlite.Stmt, err error) {
	if cl.ran > c.pool.cfg.SlowQuery && !cl.uncancellable() { // if that is 0, so is the other
		c.logSlow(cl, s, err)
	}
}

func (c *conn) logSlow(cl *call, s *sqlite.Stmt, err error) {
	effort := s.TakeEffort()
	attrs := []slog.Attr{
		slog.String("path", c.pool.path),
		slog.String("query", queryName(s.Source())),
		slog.String("sql", s.Text),
		slog.Duration("duration", cl.ran),
		slog.Uint64("rows_scanned", uint64(effort.Scanned)),
		slog.Uint64("sorts", uint64(effort.Sorts)),
		slog.Uint64("rows_indexed", uint64(effort.Indexed)),
		slog.Uint64("vm_steps", uint64(effort.Steps)),
	}
	if hasPlan(s.Text) {
		attrs = append(attrs, c.planAttr(s))
	}
	if err != nil {
		if over := cl.Context.Err(); over != nil && hasPrimary(err, lib.SQLITE_INTERRUPT) {
			err = over
		}
		attrs = append(attrs, slog.Any("error", err))
	}
	c.pool.cfg.Logger.LogAttrs(cl.Context, slog.LevelWarn, "a statement ran for long", attrs...)
}

// hasPlan reports that a statement reads or writes rows. Others have no plan, and some
// PRAGMAs would act while their explanation is prepared
// (https://www.sqlite.org/pragma.html#syntax).
func hasPlan(text string) bool {
	switch sqlite.FirstWord(text) {
	case "SELECT", "VALUES", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE":
		return true
	}
	return false
}

// planAttr is the statement's plan, or why there is none. Virtual tables of the program
// are asked for it.
func (c *conn) planAttr(s *sqlite.Stmt) slog.Attr {
	var lines []string
	err := c.interruptible(ownCall(), nil, func() (err error) {
		lines, err = c.db.Plan(s.Text)
		return err
	})
	if err != nil {
		return slog.String("plan", "none: "+err.Error())
	}
	return slog.String("plan", strings.Join(lines, "; "))
}
