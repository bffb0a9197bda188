package dqlite

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
)

// Backup writes the database, as it is at one moment, to a file at path, which SQLite opens
// like any other. It comes from the leader whole, by way of memory, so it is for databases
// that fit there. A path that exists already is fs.ErrExist; nothing is left behind by
// what fails.
func (s *Store) Backup(ctx context.Context, path string) (err error) {
	if err := s.given("backup", ctx, true); err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if _, err := os.Lstat(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			return s.fail("backup", nil, cmp.Or[error](err, &fs.PathError{Op: "backup", Path: path + suffix, Err: fs.ErrExist}))
		}
	}
	var files []wire.File
	if err := s.onReader(ctx, "backup", func(c *conn) (_ bool, err error) {
		files, err = c.wire.Dump(ctx, s.cfg.Database)
		return false, err
	}); err != nil {
		return err
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), filepath.Base(path)+".partial-")
	if err != nil {
		return s.fail("backup", nil, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	whole := filepath.Join(folder, s.cfg.Database)
	for _, f := range files {
		name := filepath.Join(folder, s.cfg.Database)
		if strings.HasSuffix(f.Name, "-wal") {
			name += "-wal"
		}
		if err := os.WriteFile(name, f.Data, 0o600); err != nil {
			return s.fail("backup", nil, err)
		}
	}
	p, err := pool.Open(ctx, pool.Config{Path: whole}) // it takes the log up
	if err != nil {
		return s.fail("backup", nil, err)
	}
	return errors.Join(p.Backup(ctx, path), p.Close())
}
