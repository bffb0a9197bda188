package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/schema"
	"modernc.org/sqlite"
)

// The data is the same in every run: row i has the path pathOf(i) and the id
// i+1, perDirectory of them lie in one directory, and nothing depends on the time.

const (
	perDirectory = 1000
	// hot is how many rows the point reads of all workloads but S1 touch: few
	// enough that the page cache of one connection holds them, so that what is
	// compared is the way to SQLite and not the file system. It matters all the more
	// since modernc's SQLite has one page cache for all connections of a process,
	// which then evict each other's pages by chance.
	hot = 500
	// indexed is the indexed_at of all files.
	indexed int64 = 1_700_000_000_000_000_000
)

func pathOf(i int) string { return fmt.Sprintf("/bench/d%05d/file%08d.go", i/perDirectory, i) }

// hotPaths are the paths of the hot rows, spread over the table, in an order
// that is random and always the same, and their ids.
func hotPaths(rows int) (paths []string, ids []int64) {
	return randomPaths(rows, min(hot, rows))
}

func randomPaths(rows, n int) (paths []string, ids []int64) {
	random := rand.New(rand.NewPCG(1, 2))
	for range n {
		i := random.IntN(rows)
		paths, ids = append(paths, pathOf(i)), append(ids, int64(i)+1)
	}
	return paths, ids
}

// logEntry is the row that the writers append.
func logEntry(count int64) gen.AppendLogParams {
	return gen.AppendLogParams{
		Timestamp: column.At(time.Unix(0, indexed)), Operation: column.Indexed, Path: "/bench/d00000",
		FileCount: count, Duration: time.Second,
	}
}

// newFile is a row that is not among the fixture's.
func newFile(g, i int) gen.UpsertFileParams {
	size := int64(i)
	name := fmt.Sprintf("New%03d-%08d.go", g, i)
	at := column.At(time.Unix(0, indexed))
	return gen.UpsertFileParams{
		DirectoryID: 1, Path: "/bench/d00000/" + name, Name: name, NameLower: "n" + name[1:], Extension: "go",
		Size: &size, DateCreated: at, DateModified: at, IndexedAt: at,
		CloudProvider: column.NoCloud, CloudStatus: column.Local,
	}
}

// makeDatabase makes a database in WAL mode with so many files. It is filled
// without the indexes, which follow, and without a journal: nobody else is there,
// and a half-made one is of no use.
func makeDatabase(ctx context.Context, path string, rows int) (err error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)&_pragma=cache_size(-1000000)&_pragma=temp_store(MEMORY)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if err := schema.Up(ctx, db); err != nil {
		return err
	}
	indexes, err := db.QueryContext(ctx, "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'files' AND sql IS NOT NULL")
	if err != nil {
		return err
	}
	defer indexes.Close()
	var before, after []string
	for indexes.Next() {
		var name, text string
		if err := indexes.Scan(&name, &text); err != nil {
			return err
		}
		before, after = append(before, "DROP INDEX "+name), append(after, text)
	}
	if err := errors.Join(indexes.Err(), indexes.Close()); err != nil {
		return err
	}
	fill := []string{
		fmt.Sprintf(`WITH RECURSIVE n (i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %d)
			INSERT INTO directories (id, path) SELECT i + 1, printf('/bench/d%%05d', i) FROM n`, (rows+perDirectory-1)/perDirectory),
		fmt.Sprintf(`WITH RECURSIVE n (i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %d)
			INSERT INTO files (id, directory_id, path, name, name_lower, extension, file_type_id, size, date_created, date_modified, indexed_at)
			SELECT i + 1, i / %d + 1, printf('/bench/d%%05d/file%%08d.go', i / %d, i), printf('File%%08d.go', i), printf('file%%08d.go', i), 'go',
				(SELECT id FROM file_types WHERE extension = 'go'), i * 2654435761 %% 1048576, %d, %d + i, %d FROM n`,
			rows, perDirectory, perDirectory, indexed, indexed, indexed),
	}
	for _, text := range append(append(before, fill...), after...) {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("filling the database: %w", err)
		}
	}
	_, err = db.ExecContext(ctx, "PRAGMA journal_mode = WAL")
	return err
}

// copyDatabase gives every run a database of its own, all alike and on disk.
func copyDatabase(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func removeDatabase(path string) {
	for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
		_ = os.Remove(path + suffix) // beside the database there may be nothing
	}
}

func openPlain(path string) (*sql.DB, error) { return sql.Open("sqlite", "file:"+path) }

// expected is what a workload that acknowledged so much must have left behind.
// What failed may have happened or not, so it is allowed for.
type expected struct {
	rows, files                    int // of the fixture, and new ones
	appended, appendedSum, touched int64
	failed                         int64
}

// errWrong says that a database is not what its acknowledged writes make it.
var errWrong = errors.New("wrong result")

// verify looks whether everything acknowledged is there, and nothing else.
func verify(ctx context.Context, path string, want expected) (err error) {
	db, err := openPlain(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var intact string
	var logs, logSum, files, moved int64
	err = db.QueryRowContext(ctx, `SELECT (SELECT quick_check FROM pragma_quick_check), (SELECT count(*) FROM indexing_log),
		(SELECT coalesce(sum(file_count), 0) FROM indexing_log), (SELECT count(*) FROM files),
		(SELECT coalesce(sum(indexed_at - ?), 0) FROM files)`, indexed).Scan(&intact, &logs, &logSum, &files, &moved)
	var e *sqlite.Error
	if errors.As(err, &e) {
		return fmt.Errorf("%w: %w", errWrong, err)
	} else if err != nil {
		return err
	}
	wrong := func(name string, got, want, failed int64) error {
		if got < want || got > want+failed {
			return fmt.Errorf("%w: %s: %d, acknowledged were %d (%d failed)", errWrong, name, got, want, failed)
		}
		return nil
	}
	err = errors.Join(
		wrong("rows in the log", logs, want.appended, want.failed),
		wrong("files", files, int64(want.rows+want.files), want.failed),
		wrong("moves of indexed_at", moved, want.touched, want.failed))
	if want.failed == 0 {
		err = errors.Join(err, wrong("sum of the log", logSum, want.appendedSum, 0))
	}
	if intact != "ok" {
		err = errors.Join(err, fmt.Errorf("%w: quick_check: %s", errWrong, intact))
	}
	return err
}

// checkFile reports a read that returned another row than was asked for.
func checkFile(file gen.File, path string, id int64) error {
	if file.Path != path || file.ID != id {
		return fmt.Errorf("%w: asked for %s, id %d; got %s, id %d", errWrong, path, id, file.Path, file.ID)
	}
	return nil
}

// openOn opens a peer on a fresh copy of a database.
func openOn(ctx context.Context, p peers.Peer, from, path string, o peers.Options) (peers.DB, error) {
	if err := copyDatabase(from, path); err != nil {
		return nil, err
	}
	o.Path = path
	return p.Open(ctx, o)
}
