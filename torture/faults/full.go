package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/torture/trial"
	"golang.org/x/sys/unix"
)

const page = 4096

// fullDisks fills the database or the disk, page by page.
func fullDisks(ctx context.Context, plan trial.Plan) (rows []trial.Row) {
	for _, journal := range []string{"wal", "delete"} {
		if ctx.Err() != nil {
			return rows
		}
		rows = append(rows,
			stepped(ctx, plan, "max_page_count, "+journal, func(s *stage, n int) (*trouble, error) { return pageLimit(s, n) }, journal),
			onSmallDisk(ctx, plan, journal))
	}
	return rows
}

// stepped runs the workload again and again, with one page more each time, until
// the fault is not met any more.
func stepped(ctx context.Context, plan trial.Plan, name string, begin func(s *stage, n int) (*trouble, error), journal string) (row trial.Row) {
	row = trial.Row{Section: Section, Name: name}
	dir, err := plan.MakeDir("fault " + name)
	if err != nil {
		row.Err = err
		return row
	}
	return steppedIn(ctx, plan, row, dir, begin, journal)
}

func steppedIn(ctx context.Context, plan trial.Plan, row trial.Row, dir string, begin func(s *stage, n int) (*trouble, error), journal string) trial.Row {
	rng := plan.Rand(row.Name)
	for n := 0; ctx.Err() == nil && row.Err == nil; n += step(plan, rng, n) {
		s := newStage(ctx, dir, journal, either(codes(full, ioErr, cantOpen), sentinels(syscall.ENOSPC, syscall.EFBIG)))
		t, err := begin(s, n)
		if err == nil {
			err = errors.Join(s.workload(t, plan.Times(60, 30)), t.end())
		}
		if err == nil {
			var lost int
			lost, err = s.finish()
			row.Lost += lost
		} else if s.pool != nil {
			err = errors.Join(err, s.pool.Close())
		}
		row.Attempts++
		row.Faults += s.failed
		row.Acknowledged += len(s.acks)
		row.Doubtful += s.doubled
		if err = errors.Join(err, clearDir(dir)); err != nil {
			row.Err = fmt.Errorf("with %d pages to spare: %w", n, err)
		}
		plan.Progress("%s: %d pages to spare", row.Name, n)
		if s.failed == 0 {
			break
		}
	}
	return row
}

// pageLimit leaves n pages to the database. The fault goes when somebody deletes
// something.
func pageLimit(s *stage, n int) (*trouble, error) {
	if err := s.open(s.config()); err != nil {
		return nil, err
	}
	var pages int
	err := s.pool.InTx(s.ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		if _, err := tx.ExecContext(ctx, "CREATE TABLE ballast (b); INSERT INTO ballast VALUES (zeroblob(2000000))"); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages)
	})
	if err = errors.Join(err, s.pool.Close()); err != nil {
		return nil, err
	}
	cfg := s.config()
	cfg.OnConnect = func(ctx context.Context, conn *pool.Lease) error {
		var now int
		return conn.QueryRowContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages+n)).Scan(&now)
	}
	return &trouble{forgives: 3, heal: func() error {
		return s.pool.Batch(s.ctx, func(ctx context.Context, tx *pool.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE FROM ballast")
			return err
		})
	}}, s.open(cfg)
}

// onSmallDisk leaves n pages on a real file system, to all files together.
func onSmallDisk(ctx context.Context, plan trial.Plan, journal string) (row trial.Row) {
	row = trial.Row{Section: Section, Name: "a full tmpfs, " + journal}
	dir, err := plan.MakeDir("fault " + row.Name)
	if err != nil {
		row.Err = err
		return row
	}
	const size = 4 << 20
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		row.Add("no tmpfs can be mounted here, it takes root: %v", err)
		return row
	}
	defer func() { row.Err = errors.Join(row.Err, unix.Unmount(dir, 0)) }()
	return steppedIn(ctx, plan, row, dir, func(s *stage, n int) (*trouble, error) {
		ballast := filepath.Join(dir, "ballast")
		if err := os.WriteFile(ballast, make([]byte, size-n*page), 0o600); err != nil {
			return nil, err
		}
		t := &trouble{forgives: 3, heal: func() error { return os.Remove(ballast) }}
		return t, t.try(func() error { return s.open(s.config()) })
	}, journal)
}

// fileSizes limits the size of a file. It concerns the whole process, which does
// nothing else.
func fileSizes(ctx context.Context, plan trial.Plan) trial.Row {
	signal.Ignore(syscall.SIGXFSZ) // or it would be the end
	limit := func(bytes uint64) error {
		var l unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &l); err != nil {
			return err
		}
		l.Cur = min(bytes, l.Max)
		return unix.Setrlimit(unix.RLIMIT_FSIZE, &l)
	}
	return stepped(ctx, plan, "RLIMIT_FSIZE", func(s *stage, n int) (*trouble, error) {
		t := &trouble{forgives: 3, heal: func() error { return limit(unix.RLIM_INFINITY) }}
		if err := limit(uint64(n * page)); err != nil {
			return nil, err
		}
		return t, t.try(func() error { return s.open(s.config()) })
	}, "wal")
}
