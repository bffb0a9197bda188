package peers

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"time"

	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

func zombiezen() Peer {
	return Peer{
		Name: "zombiezen", Module: "zombiezen.com/go/sqlite", Modernc: true, Tuned: true,
		Config: `sqlitex.NewPool("file:app.db", sqlitex.PoolOptions{PrepareConn: foreign_keys, synchronous}): 10 connections in WAL mode that block while busy; statements from Conn.Prepare's cache, sqlitex.ImmediateTransaction`,
		Source: "https://pkg.go.dev/zombiezen.com/go/sqlite/sqlitex#Pool",
		Open:   openZombiezen,
		Busy:   func(err error) bool { return isBusy(int(sqlite.ErrCode(err))) },
	}
}

type zombieDB struct{ pool *sqlitex.Pool }

func openZombiezen(_ context.Context, o Options) (DB, error) {
	pool, err := sqlitex.NewPool("file:"+o.Path, sqlitex.PoolOptions{
		PoolSize: o.Conns,
		PrepareConn: func(conn *sqlite.Conn) error {
			for _, pragma := range []string{"foreign_keys = on", "synchronous = " + o.Synchronous} {
				if err := sqlitex.ExecuteTransient(conn, "PRAGMA "+pragma, nil); err != nil {
					return err
				}
			}
			return nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("zombiezen: %w", err)
	}
	return &zombieDB{pool}, nil
}

// Close implements DB.
func (d *zombieDB) Close() error { return d.pool.Close() }

// Hold implements DB.
func (d *zombieDB) Hold(ctx context.Context, use func()) error {
	conn, err := d.pool.Take(ctx)
	if err != nil {
		return err
	}
	use()
	d.pool.Put(conn)
	return nil
}

// GetFileByPath implements DB.
func (d *zombieDB) GetFileByPath(ctx context.Context, path string) (gen.File, error) {
	conn, err := d.pool.Take(ctx)
	if err != nil {
		return gen.File{}, err
	}
	defer d.pool.Put(conn)
	return zombieConn{conn}.GetFileByPath(ctx, path)
}

// ListDirectory implements DB.
func (d *zombieDB) ListDirectory(ctx context.Context, arg gen.ListDirectoryParams) ([]gen.File, error) {
	conn, err := d.pool.Take(ctx)
	if err != nil {
		return nil, err
	}
	defer d.pool.Put(conn)
	return zombieConn{conn}.ListDirectory(arg)
}

// SearchFilesByPrefixSeq implements DB.
func (d *zombieDB) SearchFilesByPrefixSeq(ctx context.Context, arg gen.SearchFilesByPrefixParams) iter.Seq2[gen.File, error] {
	return func(yield func(gen.File, error) bool) {
		conn, err := d.pool.Take(ctx)
		if err != nil {
			yield(gen.File{}, err)
			return
		}
		defer d.pool.Put(conn)
		stmt, err := conn.Prepare(searchFilesByPrefix)
		if err != nil {
			yield(gen.File{}, err)
			return
		}
		stmt.BindText(1, arg.Prefix)
		stmt.BindInt64(2, arg.Count)
		for {
			more, err := stmt.Step()
			switch {
			case err != nil:
				yield(gen.File{}, err)
				return
			case !more:
				return
			case !yield(zombieFile(stmt), nil):
				_ = stmt.Reset()
				return
			}
		}
	}
}

// AppendLog implements DB.
func (d *zombieDB) AppendLog(ctx context.Context, arg gen.AppendLogParams) (gen.IndexingLog, error) {
	conn, err := d.pool.Take(ctx)
	if err != nil {
		return gen.IndexingLog{}, err
	}
	defer d.pool.Put(conn)
	return zombieConn{conn}.AppendLog(ctx, arg)
}

// UpsertFile implements DB.
func (d *zombieDB) UpsertFile(ctx context.Context, arg gen.UpsertFileParams) (gen.File, error) {
	conn, err := d.pool.Take(ctx)
	if err != nil {
		return gen.File{}, err
	}
	defer d.pool.Put(conn)
	return zombieConn{conn}.UpsertFile(arg)
}

// Touch implements DB.
func (d *zombieDB) Touch(ctx context.Context, path string, log gen.AppendLogParams) (err error) {
	conn, err := d.pool.Take(ctx)
	if err != nil {
		return err
	}
	defer d.pool.Put(conn)
	end, err := sqlitex.ImmediateTransaction(conn)
	if err != nil {
		return err
	}
	defer end(&err)
	return touch(ctx, zombieConn{conn}, path, log)
}

// zombieConn has the queries on one connection.
type zombieConn struct{ *sqlite.Conn }

func (c zombieConn) GetFileByPath(_ context.Context, path string) (file gen.File, err error) {
	stmt, err := c.Prepare(getFileByPath)
	if err != nil {
		return file, err
	}
	stmt.BindText(1, path)
	return zombieOne(stmt, zombieFile)
}

func (c zombieConn) ListDirectory(arg gen.ListDirectoryParams) ([]gen.File, error) {
	stmt, err := c.Prepare(listDirectory)
	if err != nil {
		return nil, err
	}
	stmt.BindInt64(1, arg.DirectoryID)
	stmt.BindText(2, arg.AfterName)
	stmt.BindInt64(3, arg.AfterID)
	stmt.BindInt64(4, arg.Count)
	files := []gen.File{}
	for {
		switch more, err := stmt.Step(); {
		case err != nil:
			return nil, err
		case !more:
			return files, nil
		}
		files = append(files, zombieFile(stmt))
	}
}

func (c zombieConn) AppendLog(_ context.Context, arg gen.AppendLogParams) (gen.IndexingLog, error) {
	stmt, err := c.Prepare(appendLog)
	if err != nil {
		return gen.IndexingLog{}, err
	}
	stmt.BindInt64(1, arg.Timestamp.UnixNano())
	stmt.BindText(2, string(arg.Operation))
	stmt.BindText(3, arg.Path)
	stmt.BindInt64(4, arg.FileCount)
	stmt.BindInt64(5, int64(arg.Duration))
	return zombieOne(stmt, zombieLog)
}

func (c zombieConn) MarkFileSeen(_ context.Context, arg gen.MarkFileSeenParams) (int64, error) {
	stmt, err := c.Prepare(markFileSeen)
	if err != nil {
		return 0, err
	}
	stmt.BindInt64(1, arg.SeenAt.UnixNano())
	stmt.BindText(2, arg.Path)
	_, err = stmt.Step()
	return int64(c.Changes()), err
}

func (c zombieConn) UpsertFile(arg gen.UpsertFileParams) (gen.File, error) {
	stmt, err := c.Prepare(upsertFile)
	if err != nil {
		return gen.File{}, err
	}
	stmt.BindInt64(1, arg.DirectoryID)
	stmt.BindText(2, arg.Path)
	stmt.BindText(3, arg.Name)
	stmt.BindText(4, arg.NameLower)
	stmt.BindText(5, arg.Extension)
	stmt.BindBool(6, arg.IsDirectory)
	if arg.Size != nil {
		stmt.BindInt64(7, *arg.Size)
	} else {
		stmt.BindNull(7)
	}
	stmt.BindInt64(8, arg.DateCreated.UnixNano())
	stmt.BindInt64(9, arg.DateModified.UnixNano())
	stmt.BindText(10, string(arg.CloudProvider))
	stmt.BindText(11, string(arg.CloudStatus))
	stmt.BindInt64(12, arg.IndexedAt.UnixNano())
	return zombieOne(stmt, zombieFile)
}

// zombieOne returns the only row and runs the statement to its end.
func zombieOne[T any](stmt *sqlite.Stmt, scan func(*sqlite.Stmt) T) (row T, err error) {
	more, err := stmt.Step()
	if err != nil {
		return row, err
	}
	if !more {
		return row, sql.ErrNoRows
	}
	row = scan(stmt)
	return row, stmt.Reset()
}

func zombieFile(s *sqlite.Stmt) gen.File {
	return gen.File{
		ID: s.ColumnInt64(0), DirectoryID: s.ColumnInt64(1),
		Path: s.ColumnText(2), Name: s.ColumnText(3), NameLower: s.ColumnText(4), Extension: s.ColumnText(5),
		FileTypeID: zombieInt(s, 6), IsDirectory: s.ColumnBool(7), Size: zombieInt(s, 8),
		DateCreated: moment(s.ColumnInt64(9)), DateModified: moment(s.ColumnInt64(10)),
		CloudProvider: column.CloudProvider(s.ColumnText(11)), CloudStatus: column.CloudStatus(s.ColumnText(12)),
		IndexedAt: moment(s.ColumnInt64(13)), FolderSize: zombieInt(s, 14),
	}
}

func zombieLog(s *sqlite.Stmt) gen.IndexingLog {
	return gen.IndexingLog{
		ID: s.ColumnInt64(0), Timestamp: moment(s.ColumnInt64(1)), Operation: column.Operation(s.ColumnText(2)),
		Path: s.ColumnText(3), FileCount: s.ColumnInt64(4), Duration: time.Duration(s.ColumnInt64(5)),
	}
}

func zombieInt(s *sqlite.Stmt, col int) *int64 {
	if s.ColumnIsNull(col) {
		return nil
	}
	n := s.ColumnInt64(col)
	return &n
}

func moment(ns int64) column.Time { return column.Time{Time: time.Unix(0, ns).UTC()} }
