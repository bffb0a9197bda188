package peers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// floor is what modernc's SQLite itself costs: its C interface called directly,
// one connection, each statement prepared once, the row copied into the struct.
// Whatever is slower adds to that; nothing on this SQLite can be faster.
// It is opened without SQLite's mutex, which one goroutine does not need.
func floor() Peer {
	return Peer{
		Name: "floor", Module: "modernc.org/sqlite", Modernc: true, Alone: true, Tuned: true,
		Config: "modernc.org/sqlite/lib called directly: one connection, opened with SQLITE_OPEN_NOMUTEX, each statement prepared once, no pool, no context",
		Source: "https://www.sqlite.org/cintro.html and https://www.sqlite.org/threadsafe.html",
		Open:   openFloor,
		Busy:   func(err error) bool { var e floorError; return errors.As(err, &e) && isBusy(e.code) },
	}
}

type floorDB struct {
	tls                     *libc.TLS
	db                      uintptr
	get, list, search       floorStmt
	add, upsert, mark       floorStmt
	begin, commit, rollback floorStmt
	stmts                   []floorStmt
}

type floorError struct {
	code    int
	message string
}

func (e floorError) Error() string { return fmt.Sprintf("floor: %s (%d)", e.message, e.code) }

func openFloor(_ context.Context, o Options) (DB, error) {
	d := &floorDB{tls: libc.NewTLS()}
	path, err := libc.CString(o.Path)
	if err != nil {
		return nil, fmt.Errorf("floor: %w", err)
	}
	defer libc.Xfree(d.tls, path)
	out := libc.Xmalloc(d.tls, 8)
	defer libc.Xfree(d.tls, out)
	rc := lib.Xsqlite3_open_v2(d.tls, path, out, lib.SQLITE_OPEN_READWRITE|lib.SQLITE_OPEN_NOMUTEX, 0)
	d.db = pointerAt(out)
	if err := d.check(rc); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	for _, pragma := range []string{"foreign_keys = on", "synchronous = " + o.Synchronous} {
		s, err := d.prepare("PRAGMA " + pragma)
		if err == nil {
			_, err = s.step()
			err = errors.Join(err, s.reset())
		}
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	for stmt, text := range map[*floorStmt]string{
		&d.get: getFileByPath, &d.list: listDirectory, &d.search: searchFilesByPrefix, &d.add: appendLog, &d.upsert: upsertFile, &d.mark: markFileSeen,
		&d.begin: "BEGIN IMMEDIATE", &d.commit: "COMMIT", &d.rollback: "ROLLBACK",
	} {
		if *stmt, err = d.prepare(text); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

// pointerAt reads a pointer that SQLite wrote.
func pointerAt(p uintptr) (v uintptr) {
	for i, b := range libc.GoBytes(p, 8) {
		v |= uintptr(b) << (8 * i)
	}
	return v
}

func (d *floorDB) check(rc int32) error {
	if rc == lib.SQLITE_OK || rc == lib.SQLITE_ROW || rc == lib.SQLITE_DONE {
		return nil
	}
	return floorError{int(rc), libc.GoString(lib.Xsqlite3_errmsg(d.tls, d.db))}
}

func (d *floorDB) prepare(text string) (floorStmt, error) {
	c, err := libc.CString(text)
	if err != nil {
		return floorStmt{}, fmt.Errorf("floor: %w", err)
	}
	defer libc.Xfree(d.tls, c)
	out := libc.Xmalloc(d.tls, 8)
	defer libc.Xfree(d.tls, out)
	rc := lib.Xsqlite3_prepare_v2(d.tls, d.db, c, -1, out, 0)
	s := floorStmt{d, pointerAt(out)}
	d.stmts = append(d.stmts, s)
	return s, d.check(rc)
}

// Close implements DB.
func (d *floorDB) Close() error {
	for _, s := range d.stmts {
		lib.Xsqlite3_finalize(d.tls, s.stmt)
	}
	err := d.check(lib.Xsqlite3_close_v2(d.tls, d.db))
	d.tls.Close()
	return err
}

// Hold implements DB: the one connection is always there.
func (d *floorDB) Hold(_ context.Context, use func()) error {
	use()
	return nil
}

// GetFileByPath implements DB.
func (d *floorDB) GetFileByPath(_ context.Context, path string) (gen.File, error) {
	text, err := d.get.bindText(1, path)
	if err != nil {
		return gen.File{}, err
	}
	defer libc.Xfree(d.tls, text)
	return floorOne(d.get, floorFile)
}

// ListDirectory implements DB.
func (d *floorDB) ListDirectory(_ context.Context, arg gen.ListDirectoryParams) ([]gen.File, error) {
	text, err := d.list.bindText(2, arg.AfterName)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(d.tls, text)
	d.list.bindInt(1, arg.DirectoryID)
	d.list.bindInt(3, arg.AfterID)
	d.list.bindInt(4, arg.Count)
	files := []gen.File{}
	for {
		more, err := d.list.step()
		if err != nil || !more {
			return files, errors.Join(err, d.list.reset())
		}
		files = append(files, floorFile(d.list))
	}
}

// SearchFilesByPrefixSeq implements DB.
func (d *floorDB) SearchFilesByPrefixSeq(_ context.Context, arg gen.SearchFilesByPrefixParams) iter.Seq2[gen.File, error] {
	return func(yield func(gen.File, error) bool) {
		text, err := d.search.bindText(1, arg.Prefix)
		if err != nil {
			yield(gen.File{}, err)
			return
		}
		defer libc.Xfree(d.tls, text)
		d.search.bindInt(2, arg.Count)
		for {
			more, err := d.search.step()
			switch {
			case more && yield(floorFile(d.search), nil):
				continue
			case more:
				_ = d.search.reset()
				return
			}
			if err = errors.Join(err, d.search.reset()); err != nil {
				yield(gen.File{}, err)
			}
			return
		}
	}
}

// AppendLog implements DB.
func (d *floorDB) AppendLog(_ context.Context, arg gen.AppendLogParams) (gen.IndexingLog, error) {
	for i, text := range []string{string(arg.Operation), arg.Path} {
		p, err := d.add.bindText(2+i, text)
		if err != nil {
			return gen.IndexingLog{}, err
		}
		defer libc.Xfree(d.tls, p)
	}
	d.add.bindInt(1, arg.Timestamp.UnixNano())
	d.add.bindInt(4, arg.FileCount)
	d.add.bindInt(5, int64(arg.Duration))
	return floorOne(d.add, floorLog)
}

// MarkFileSeen is for Touch.
func (d *floorDB) MarkFileSeen(_ context.Context, arg gen.MarkFileSeenParams) (int64, error) {
	text, err := d.mark.bindText(2, arg.Path)
	if err != nil {
		return 0, err
	}
	defer libc.Xfree(d.tls, text)
	d.mark.bindInt(1, arg.SeenAt.UnixNano())
	if err := d.mark.run(); err != nil {
		return 0, err
	}
	return int64(lib.Xsqlite3_changes(d.tls, d.db)), nil
}

// UpsertFile implements DB.
func (d *floorDB) UpsertFile(_ context.Context, arg gen.UpsertFileParams) (gen.File, error) {
	for _, param := range [...]struct {
		i    int
		text string
	}{{2, arg.Path}, {3, arg.Name}, {4, arg.NameLower}, {5, arg.Extension}, {10, string(arg.CloudProvider)}, {11, string(arg.CloudStatus)}} {
		p, err := d.upsert.bindText(param.i, param.text)
		if err != nil {
			return gen.File{}, err
		}
		defer libc.Xfree(d.tls, p)
	}
	var isDirectory int64
	if arg.IsDirectory {
		isDirectory = 1
	}
	if arg.Size != nil {
		d.upsert.bindInt(7, *arg.Size)
	} else {
		lib.Xsqlite3_bind_null(d.tls, d.upsert.stmt, 7)
	}
	d.upsert.bindInt(1, arg.DirectoryID)
	d.upsert.bindInt(6, isDirectory)
	d.upsert.bindInt(8, arg.DateCreated.UnixNano())
	d.upsert.bindInt(9, arg.DateModified.UnixNano())
	d.upsert.bindInt(12, arg.IndexedAt.UnixNano())
	return floorOne(d.upsert, floorFile)
}

// Touch implements DB.
func (d *floorDB) Touch(ctx context.Context, path string, log gen.AppendLogParams) error {
	if err := d.begin.run(); err != nil {
		return err
	}
	if err := touch(ctx, d, path, log); err != nil {
		return errors.Join(err, d.rollback.run())
	}
	return d.commit.run()
}

// AppendLogs implements Bulk.
func (d *floorDB) AppendLogs(ctx context.Context, n int, arg gen.AppendLogParams) error {
	if err := d.begin.run(); err != nil {
		return err
	}
	for range n {
		if _, err := d.AppendLog(ctx, arg); err != nil {
			return errors.Join(err, d.rollback.run())
		}
	}
	return d.commit.run()
}

// floorStmt is a prepared statement.
type floorStmt struct {
	d    *floorDB
	stmt uintptr
}

// bindText returns the copy that is to be freed once the statement was reset.
func (s floorStmt) bindText(i int, text string) (uintptr, error) {
	p, err := libc.CString(text)
	if err != nil {
		return 0, fmt.Errorf("floor: %w", err)
	}
	return p, s.d.check(lib.Xsqlite3_bind_text(s.d.tls, s.stmt, int32(i), p, int32(len(text)), 0))
}

func (s floorStmt) bindInt(i int, n int64) { lib.Xsqlite3_bind_int64(s.d.tls, s.stmt, int32(i), n) }

func (s floorStmt) step() (row bool, err error) {
	rc := lib.Xsqlite3_step(s.d.tls, s.stmt)
	return rc == lib.SQLITE_ROW, s.d.check(rc)
}

func (s floorStmt) reset() error { return s.d.check(lib.Xsqlite3_reset(s.d.tls, s.stmt)) }

func (s floorStmt) run() error {
	_, err := s.step()
	return errors.Join(err, s.reset())
}

func (s floorStmt) text(col int) string {
	p := lib.Xsqlite3_column_text(s.d.tls, s.stmt, int32(col))
	if p == 0 {
		return ""
	}
	return string(libc.GoBytes(p, int(lib.Xsqlite3_column_bytes(s.d.tls, s.stmt, int32(col)))))
}

func (s floorStmt) int(col int) int64 {
	return lib.Xsqlite3_column_int64(s.d.tls, s.stmt, int32(col))
}

func (s floorStmt) intOrNil(col int) *int64 {
	if lib.Xsqlite3_column_type(s.d.tls, s.stmt, int32(col)) == lib.SQLITE_NULL {
		return nil
	}
	n := s.int(col)
	return &n
}

// floorOne returns the only row and runs the statement to its end.
func floorOne[T any](s floorStmt, scan func(floorStmt) T) (row T, err error) {
	more, err := s.step()
	if more {
		row = scan(s)
	} else if err == nil {
		err = sql.ErrNoRows
	}
	return row, errors.Join(err, s.reset())
}

func floorFile(s floorStmt) gen.File {
	return gen.File{
		ID: s.int(0), DirectoryID: s.int(1),
		Path: s.text(2), Name: s.text(3), NameLower: s.text(4), Extension: s.text(5),
		FileTypeID: s.intOrNil(6), IsDirectory: s.int(7) != 0, Size: s.intOrNil(8),
		DateCreated: moment(s.int(9)), DateModified: moment(s.int(10)),
		CloudProvider: column.CloudProvider(s.text(11)), CloudStatus: column.CloudStatus(s.text(12)),
		IndexedAt: moment(s.int(13)), FolderSize: s.intOrNil(14),
	}
}

func floorLog(s floorStmt) gen.IndexingLog {
	return gen.IndexingLog{
		ID: s.int(0), Timestamp: moment(s.int(1)), Operation: column.Operation(s.text(2)),
		Path: s.text(3), FileCount: s.int(4), Duration: time.Duration(s.int(5)),
	}
}
