package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/sqlane/sqlane/internal/plans"
	"github.com/sqlane/sqlane/pool"
)

const (
	mostFaults = 100      // that integrity_check lists
	mostTables = 20       // whose sizes are told one by one
	largeLog   = 64 << 20 // bytes; the pool warns of such a log too
	largeFree  = 1 << 20  // bytes that are worth a VACUUM, if they are a quarter of the file
)

// doctor looks at a database file.
func doctor(ctx context.Context, a *app) error {
	path, err := realPath(a.arg)
	if err != nil {
		return err
	}
	for {
		x := &examination{app: a, path: path}
		quiet, err := x.look(ctx)
		if err == nil && quiet.changed(path) {
			continue // somebody opened it just now, and is there still
		}
		if err != nil {
			return err
		}
		for _, line := range x.found {
			a.say("%s", line)
		}
		if x.faults > 0 {
			return errFound
		}
		return nil
	}
}

// quietly is a database that nobody used when it was looked at; nil if somebody may.
type quietly struct{ was fs.FileInfo }

func (q *quietly) changed(path string) bool {
	if q == nil {
		return false
	}
	now, err := os.Stat(path)
	return err != nil || !os.SameFile(q.was, now) || !now.ModTime().Equal(q.was.ModTime()) || now.Size() != q.was.Size() || size(path+"-wal") > 0
}

// size is a file's; 0 if there is none.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// examination is one look at a database.
type examination struct {
	*app
	path   string
	pool   *pool.Pool
	wal    bool // it is in WAL mode
	found  []string
	faults int
}

func (x *examination) fault(format string, args ...any) {
	x.found = append(x.found, "fault: "+fmt.Sprintf(format, args...))
	x.faults++
}

func (x *examination) advice(format string, args ...any) {
	x.found = append(x.found, "advice: "+fmt.Sprintf(format, args...))
}

func (x *examination) fact(format string, args ...any) {
	x.found = append(x.found, "fact: "+fmt.Sprintf(format, args...))
}

// look opens the database and looks at it.
func (x *examination) look(ctx context.Context) (quiet *quietly, err error) {
	info, err := x.header()
	if err != nil {
		return nil, err
	}
	cfg := pool.Config{Path: x.path, ReadOnly: true, MaxConns: 1, BusyTimeout: time.Second, Logger: slog.New(slog.DiscardHandler)}
	if x.wal && size(x.path+"-wal") == 0 && size(x.path+"-shm") == 0 {
		// Whoever uses it has a -shm. To read it as one whom others may join SQLite
		// would make both files, and leave them.
		cfg.Immutable, quiet = true, &quietly{info}
	}
	if x.pool, err = pool.Open(ctx, cfg); err == nil {
		defer func() { err = errors.Join(err, x.pool.Close()) }()
		err = x.whole(ctx)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case pool.IsBusy(err):
		return nil, fmt.Errorf("%s is locked by another program; try again when that has finished", x.arg)
	case pool.IsCorrupt(err):
		x.fault("it cannot be read: %v", err)
		return quiet, nil
	case isHot(err):
		return nil, fmt.Errorf("%s was left in the middle of a transaction, which its journal undoes when a program that may write opens it; do that, and look again", x.arg)
	}
	return quiet, err
}

// isMissing is SQLITE_ERROR: a function, a collation or a module that is not known here.
func isMissing(err error) bool {
	code, ok := pool.Code(err)
	return ok && code&0xff == 1
}

// isHot is SQLITE_READONLY_ROLLBACK, or _RECOVERY.
func isHot(err error) bool {
	code, ok := pool.Code(err)
	return ok && code&0xff == 8
}

// header looks at the file before SQLite does: closing it later would drop SQLite's
// locks.
func (x *examination) header() (fs.FileInfo, error) {
	info, err := os.Stat(x.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s", x.arg)
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory, no database", x.arg)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file of bytes, and so no database", x.arg)
	}
	f, err := os.Open(x.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var head [20]byte
	n, err := io.ReadFull(f, head[:])
	switch {
	case n == 0 && errors.Is(err, io.EOF): // an empty database
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, err
	case n < len(head) || !bytes.HasPrefix(head[:], []byte("SQLite format 3\x00")):
		return nil, fmt.Errorf("%s is no SQLite database, or an encrypted one", x.arg)
	}
	x.wal = head[18] == 2 // https://www.sqlite.org/fileformat2.html#file_format_version_numbers
	return info, nil
}

// whole looks at everything, what takes long a statement at a time: nothing keeps the
// log of those who write longer than that.
func (x *examination) whole(ctx context.Context) error {
	for _, part := range []struct {
		doing string
		look  func(context.Context) error
	}{
		{"looking at every page", x.integrity},
		{"looking at every reference", x.references},
		{"looking at the schema", x.schema},
		{"looking at the sizes", x.pages},
		{"adding up the tables", x.tables},
	} {
		x.line.Doing(part.doing)
		err := part.look(ctx)
		switch {
		case err == nil:
		case pool.IsCorrupt(err) && ctx.Err() == nil:
			x.fault("%s: %v", part.doing, err)
		case isMissing(err):
			x.advice("%s ended early, for the database needs what its own program has: %v", part.doing, err)
		default:
			return err
		}
	}
	x.log()
	return nil
}

func (x *examination) integrity(ctx context.Context) error {
	return each(ctx, x.pool.Reader(), fmt.Sprintf("PRAGMA integrity_check(%d)", mostFaults), func(scan func(...any) error) error {
		var line string
		err := scan(&line)
		if line = strings.TrimSpace(strings.TrimPrefix(line, "*** in database main ***")); line != "ok" && err == nil {
			x.fault("%s", line)
		}
		return err
	})
}

// references looks at each table by itself, since one whose keys fit no parent ends
// the whole check.
func (x *examination) references(ctx context.Context) error {
	tables, err := texts(ctx, x.pool.Reader(), `SELECT DISTINCT m.name FROM sqlite_schema m, pragma_foreign_key_list(m.name) WHERE m.type = 'table'`)
	if err != nil {
		return err
	}
	for _, table := range tables {
		err := each(ctx, x.pool.Reader(), `SELECT parent, count(*), coalesce(min("rowid"), '?') FROM pragma_foreign_key_check(?) GROUP BY parent, fkid`, func(scan func(...any) error) error {
			var parent, row string
			var n int64
			err := scan(&parent, &n, &row)
			if err == nil {
				x.fault("references of %s to rows of %s that are not there: %s, such as that of row %s", table, parent, humanize.Comma(n), row)
			}
			return err
		}, table)
		if isMissing(err) { // of a parent that they fit
			x.fault("foreign keys of %s: %v", table, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// schema looks for keys that are not there, in one snapshot.
func (x *examination) schema(ctx context.Context) error {
	return x.pool.View(ctx, func(ctx context.Context, tx *pool.Tx) error {
		if err := x.foreignKeys(ctx, tx); err != nil {
			return err
		}
		tables, err := texts(ctx, tx, `SELECT name FROM pragma_table_list
			WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
			  AND NOT EXISTS (SELECT 1 FROM pragma_table_info(pragma_table_list.name) WHERE pk > 0)`)
		for _, table := range tables {
			x.advice("%s has no primary key: nothing names a row for good, and sessions pass it over", table)
		}
		return err
	})
}

// foreignKeys asks SQLite how it would find the rows that refer to one.
func (x *examination) foreignKeys(ctx context.Context, q pool.Querier) error {
	type key struct {
		table, parent string
		columns       []string
	}
	var keys []key
	err := each(ctx, q, `SELECT m.name, f."table", f.seq, f."from" FROM sqlite_schema m, pragma_foreign_key_list(m.name) f
		WHERE m.type = 'table' ORDER BY m.name, f.id, f.seq`, func(scan func(...any) error) error {
		var table, parent, column string
		var seq int
		err := scan(&table, &parent, &seq, &column)
		if seq == 0 {
			keys = append(keys, key{table: table, parent: parent})
		}
		if last := len(keys) - 1; err == nil {
			keys[last].columns = append(keys[last].columns, column)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		quoted := make([]string, len(k.columns))
		for i, c := range k.columns {
			quoted[i] = quote(c)
		}
		reads := false
		err := each(ctx, q, "EXPLAIN QUERY PLAN SELECT 1 FROM "+quote(k.table)+" WHERE "+strings.Join(quoted, " = ? AND ")+" = ?", func(scan func(...any) error) error {
			var line string
			err := scan(new(any), new(any), new(any), &line)
			fault, _ := plans.Scan(line, func(string) bool { return true })
			reads = reads || fault != ""
			return err
		}, make([]any, len(quoted))...)
		if err != nil {
			return err
		}
		if reads {
			columns := strings.Join(k.columns, ", ")
			x.advice("no index has %s (%s): to delete a row of %s, or change its key, reads all of %s; CREATE INDEX ... ON %s (%s)",
				k.table, columns, k.parent, k.table, quote(k.table), strings.Join(quoted, ", "))
		}
	}
	return nil
}

func (x *examination) pages(ctx context.Context) error {
	var pageSize, count, free int64
	var encoding string
	err := x.pool.Reader().QueryRow(ctx, `SELECT page_size, page_count, freelist_count, encoding
		FROM pragma_page_size, pragma_page_count, pragma_freelist_count, pragma_encoding`).Scan(&pageSize, &count, &free, &encoding)
	if err != nil {
		return err
	}
	mode := "a rollback journal"
	if x.wal {
		mode = "WAL mode"
	}
	x.fact("%s pages of %s bytes, %s, %s of them free; %s, %s", humanize.Comma(count), humanize.Comma(pageSize), bytesOf(count*pageSize), humanize.Comma(free), mode, encoding)
	if free*4 > count && free*pageSize >= largeFree {
		x.advice("%s of %s are free pages; VACUUM gives them back", bytesOf(free*pageSize), bytesOf(count*pageSize))
	}
	return nil
}

// tables adds up what each table and its indexes take.
func (x *examination) tables(ctx context.Context) error {
	var others, rest int64
	err := each(ctx, x.pool.Reader(), `SELECT coalesce(m.tbl_name, s.name) AS tbl, sum(s.pgsize) AS size,
			sum(iif(m.type = 'index', s.pgsize, 0))
		FROM dbstat AS s LEFT JOIN sqlite_schema AS m ON m.name = s.name
		WHERE s.aggregate = TRUE GROUP BY tbl ORDER BY size DESC, tbl`, func(scan func(...any) error) error {
		var name string
		var all, indexes int64
		if err := scan(&name, &all, &indexes); err != nil {
			return err
		}
		switch {
		case others >= mostTables:
			rest += all
		case indexes > 0:
			x.fact("%s takes %s, %s of that its indexes", name, bytesOf(all), bytesOf(indexes))
		default:
			x.fact("%s takes %s", name, bytesOf(all))
		}
		others++
		return nil
	})
	if others > mostTables {
		x.fact("%d smaller tables take %s", others-mostTables, bytesOf(rest))
	}
	return err
}

func (x *examination) log() {
	n := size(x.path + "-wal")
	if n > 0 {
		x.fact("the log has %s", bytesOf(n))
	}
	if n >= largeLog {
		x.advice("the log has grown to %s: end the reader that keeps it, or run PRAGMA wal_checkpoint(TRUNCATE)", bytesOf(n))
	}
}

func bytesOf(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// each gives fn every row's Scan.
func each(ctx context.Context, q pool.Querier, query string, fn func(scan func(...any) error) error, args ...any) error {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// texts are the rows of a query with one column.
func texts(ctx context.Context, q pool.Querier, query string) (all []string, err error) {
	err = each(ctx, q, query, func(scan func(...any) error) error {
		var text string
		err := scan(&text)
		all = append(all, text)
		return err
	})
	return all, err
}
