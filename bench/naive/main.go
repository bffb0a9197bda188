// Command naive indexes a directory tree as one writes it first: database/sql,
// and a transaction for each entry. It does what cmd/fileindex does with a new
// database, and is what that is measured against.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/schema"
	_ "modernc.org/sqlite"
)

const usage = `naive indexes a directory tree with one database/sql transaction an entry.

Usage: naive -db FILE [-goroutines N] DIR

  -db FILE        the database
  -goroutines N   how many write files; default: 1

Exit codes: 0 done, 1 failed, 2 wrong usage.
`

func main() {
	flags := flag.NewFlagSet("naive", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("db", "", "")
	goroutines := flags.Int("goroutines", 1, "")
	switch err := flags.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(usage)
		return
	case err != nil || flags.NArg() != 1 || *path == "" || *goroutines < 1:
		fmt.Fprintln(os.Stderr, "naive: it needs -db FILE and a directory; naive -help tells more")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := index(ctx, *path, flags.Arg(0), *goroutines)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "naive:", err)
		os.Exit(1)
	}
}

type entry struct {
	path string
	dir  bool
	info fs.FileInfo
}

func index(ctx context.Context, path, root string, goroutines int) (err error) {
	if root, err = filepath.Abs(root); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_pragma=synchronous(FULL)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := schema.Up(ctx, db); err != nil {
		return err
	}
	start := time.Now()
	if _, err := gen.New(db).UpsertDirectory(ctx, gen.UpsertDirectoryParams{Path: root}); err != nil {
		return err
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	files := make(chan entry)
	var workers sync.WaitGroup
	for range goroutines {
		workers.Go(func() {
			for e := range files {
				if err := write(ctx, db, e, start); err != nil {
					cancel(err)
				}
			}
		})
	}
	count := int64(0)
	err = filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil || at == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		count++
		e := entry{at, d.IsDir(), info}
		if e.dir { // before what lies in it
			return write(ctx, db, e, start)
		}
		select {
		case files <- e:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(files)
	workers.Wait()
	if err = errors.Join(err, context.Cause(ctx)); err != nil {
		return err
	}
	if _, err := gen.New(db).SetFolderSizes(ctx, root); err != nil {
		return err
	}
	_, err = gen.New(db).AppendLog(ctx, gen.AppendLogParams{
		Timestamp: column.At(start), Operation: column.Indexed, Path: root, FileCount: count, Duration: time.Since(start),
	})
	return err
}

// write takes up one entry in a transaction of its own.
func write(ctx context.Context, db *sql.DB, e entry, now time.Time) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := upsert(ctx, gen.New(tx), e, now); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func upsert(ctx context.Context, q *gen.Queries, e entry, now time.Time) error {
	dir, err := q.GetDirectoryByPath(ctx, filepath.Dir(e.path))
	if err != nil {
		return err
	}
	name, size := filepath.Base(e.path), e.info.Size()
	row := gen.UpsertFileParams{
		DirectoryID: dir.ID, Path: e.path, Name: name, NameLower: strings.ToLower(name), IsDirectory: e.dir, Size: &size,
		DateCreated: column.At(e.info.ModTime()), DateModified: column.At(e.info.ModTime()), IndexedAt: column.At(now),
		CloudProvider: column.NoCloud, CloudStatus: column.Local,
	}
	if e.dir {
		size = 0
	} else {
		row.Extension = strings.TrimPrefix(filepath.Ext(row.NameLower), ".")
	}
	if _, err := q.UpsertFile(ctx, row); err != nil || !e.dir {
		return err
	}
	_, err = q.UpsertDirectory(ctx, gen.UpsertDirectoryParams{Path: e.path, ParentID: &dir.ID})
	return err
}
