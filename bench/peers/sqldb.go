package peers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"runtime"

	"github.com/sqlane/sqlane/gen"
)

// A database/sql driver is measured in two ways. As first written: one *sql.DB
// without limits, and sqlc's queries on it. Tuned: one *sql.DB with a single
// connection for writing and another one for reading, and prepared statements.

// dialect is what the drivers differ in.
type dialect struct {
	name, module string
	modernc      bool
	dsn          func(o Options) string
	adHocSource  string
	tunedSource  string
	open         func(dsn string) (*sql.DB, error)
	busy         func(error) bool
}

// bothWays makes two peers of a driver.
func bothWays(d dialect) []Peer {
	shown := d.dsn(Options{Path: "app.db", Synchronous: "full"})
	return []Peer{
		{
			Name: d.name + " ad hoc", Module: d.module, Modernc: d.modernc,
			Config: fmt.Sprintf("one *sql.DB without limits on %q, package gen on it", shown),
			Source: d.adHocSource,
			Open:   d.openAdHoc, Busy: d.busy,
		},
		{
			Name: d.name + " tuned", Module: d.module, Modernc: d.modernc, Tuned: true,
			Config: fmt.Sprintf("two *sql.DB on %q, one with SetMaxOpenConns(1) for writing, one with SetMaxOpenConns and SetMaxIdleConns(max(4, CPUs)) for reading; prepared statements", shown),
			Source: d.tunedSource,
			Open:   d.openTuned, Busy: d.busy,
		},
	}
}

// sqlDB is a database behind database/sql.
type sqlDB struct {
	reader, writer           *sql.DB              // one and the same as first written
	readerStmts, writerStmts map[string]*sql.Stmt // by text; nil as first written
}

func (d dialect) openAdHoc(ctx context.Context, o Options) (DB, error) {
	db, err := d.open(d.dsn(o))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	if o.Conns > 0 {
		db.SetMaxOpenConns(o.Conns)
		db.SetMaxIdleConns(o.Conns)
	}
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", d.name, err), db.Close())
	}
	return &sqlDB{reader: db, writer: db}, nil
}

func (d dialect) openTuned(ctx context.Context, o Options) (DB, error) {
	conns := o.Conns
	if conns == 0 {
		conns = max(4, runtime.NumCPU())
	}
	var dbs [2]*sql.DB
	var stmts [2]map[string]*sql.Stmt
	for i, limit := range []int{conns, 1} {
		db, err := d.open(d.dsn(o))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		db.SetMaxOpenConns(limit)
		db.SetMaxIdleConns(limit)
		dbs[i], stmts[i] = db, map[string]*sql.Stmt{}
		for _, text := range []string{getFileByPath, listDirectory, searchFilesByPrefix, upsertFile, markFileSeen, appendLog} {
			if stmts[i][text], err = db.PrepareContext(ctx, text); err != nil {
				return nil, errors.Join(fmt.Errorf("%s: %w", d.name, err), db.Close())
			}
		}
	}
	return &sqlDB{dbs[0], dbs[1], stmts[0], stmts[1]}, nil
}

// Close implements DB.
func (d *sqlDB) Close() error {
	if d.reader == d.writer {
		return d.reader.Close()
	}
	var errs []error
	for _, stmts := range []map[string]*sql.Stmt{d.readerStmts, d.writerStmts} {
		for _, s := range stmts {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(append(errs, d.reader.Close(), d.writer.Close())...)
}

func (d *sqlDB) reading() *gen.Queries { return queries(d.reader, d.readerStmts, nil) }
func (d *sqlDB) writing() *gen.Queries { return queries(d.writer, d.writerStmts, nil) }

func queries(db gen.DBTX, stmts map[string]*sql.Stmt, tx *sql.Tx) *gen.Queries {
	if stmts == nil {
		return gen.New(db)
	}
	return gen.New(prepared{db, stmts, tx})
}

// GetFileByPath implements DB.
func (d *sqlDB) GetFileByPath(ctx context.Context, path string) (gen.File, error) {
	return d.reading().GetFileByPath(ctx, path)
}

// ListDirectory implements DB.
func (d *sqlDB) ListDirectory(ctx context.Context, arg gen.ListDirectoryParams) ([]gen.File, error) {
	return d.reading().ListDirectory(ctx, arg)
}

// SearchFilesByPrefixSeq implements DB. sqlc makes no iterators: it is written by
// hand, as people do.
func (d *sqlDB) SearchFilesByPrefixSeq(ctx context.Context, arg gen.SearchFilesByPrefixParams) iter.Seq2[gen.File, error] {
	return func(yield func(gen.File, error) bool) {
		var db gen.DBTX = d.reader
		if d.readerStmts != nil {
			db = prepared{db, d.readerStmts, nil}
		}
		rows, err := db.QueryContext(ctx, searchFilesByPrefix, arg.Prefix, arg.Count)
		if err != nil {
			yield(gen.File{}, err)
			return
		}
		defer rows.Close()
		yieldFiles(rows, yield)
	}
}

// yieldFiles scans rows one by one.
func yieldFiles(rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
}, yield func(gen.File, error) bool,
) {
	for rows.Next() {
		var f gen.File
		err := rows.Scan(&f.ID, &f.DirectoryID, &f.Path, &f.Name, &f.NameLower, &f.Extension, &f.FileTypeID, &f.IsDirectory, &f.Size,
			&f.DateCreated, &f.DateModified, &f.CloudProvider, &f.CloudStatus, &f.IndexedAt, &f.FolderSize)
		if !yield(f, err) || err != nil {
			return
		}
	}
	if err := rows.Err(); err != nil {
		yield(gen.File{}, err)
	}
}

// AppendLog implements DB.
func (d *sqlDB) AppendLog(ctx context.Context, arg gen.AppendLogParams) (gen.IndexingLog, error) {
	return d.writing().AppendLog(ctx, arg)
}

// UpsertFile implements DB.
func (d *sqlDB) UpsertFile(ctx context.Context, arg gen.UpsertFileParams) (gen.File, error) {
	return d.writing().UpsertFile(ctx, arg)
}

// Touch implements DB.
func (d *sqlDB) Touch(ctx context.Context, path string, log gen.AppendLogParams) error {
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := touch(ctx, queries(tx, d.writerStmts, tx), path, log); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Hold implements DB.
func (d *sqlDB) Hold(ctx context.Context, use func()) error {
	conn, err := d.reader.Conn(ctx)
	if err != nil {
		return err
	}
	use()
	return conn.Close()
}

// prepared answers sqlc's queries with prepared statements.
type prepared struct {
	gen.DBTX
	stmts map[string]*sql.Stmt
	tx    *sql.Tx
}

func (p prepared) stmt(ctx context.Context, text string) *sql.Stmt {
	if p.tx != nil {
		return p.tx.StmtContext(ctx, p.stmts[text])
	}
	return p.stmts[text]
}

// ExecContext implements gen.DBTX.
func (p prepared) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	return p.stmt(ctx, text).ExecContext(ctx, args...)
}

// QueryContext implements gen.DBTX.
func (p prepared) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	return p.stmt(ctx, text).QueryContext(ctx, args...)
}

// QueryRowContext implements gen.DBTX.
func (p prepared) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	return p.stmt(ctx, text).QueryRowContext(ctx, args...)
}
