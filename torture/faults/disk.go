package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/sqlane/sqlane/torture/powerfs"
	"github.com/sqlane/sqlane/torture/trial"
)

// diskFault is what a disk does from its n-th operation on.
type diskFault struct {
	name    string
	errno   syscall.Errno
	ops     []powerfs.Op
	allowed func(error) bool
}

var (
	ioErrors = codes(ioErr, cantOpen)

	diskFaults = []diskFault{
		{"EIO when writing", syscall.EIO, []powerfs.Op{powerfs.Write}, ioErrors},
		{"EIO when reading", syscall.EIO, []powerfs.Op{powerfs.Read}, codes(ioErr, cantOpen, corrupt)}, // SQLite takes it for a damaged file system,
		{"EIO when syncing", syscall.EIO, []powerfs.Op{powerfs.Sync}, ioErrors},
		{"EIO when syncing names", syscall.EIO, []powerfs.Op{powerfs.SyncDir}, ioErrors},
		{"EIO when truncating", syscall.EIO, []powerfs.Op{powerfs.Truncate}, ioErrors},
		{"EIO when opening", syscall.EIO, []powerfs.Op{powerfs.Open, powerfs.Create}, ioErrors},
		{"EIO when unlinking", syscall.EIO, []powerfs.Op{powerfs.Unlink}, ioErrors},
		{"ENOSPC", syscall.ENOSPC, []powerfs.Op{powerfs.Write, powerfs.Create}, codes(full, ioErr, cantOpen)},
		{"EROFS", syscall.EROFS, []powerfs.Op{powerfs.Write, powerfs.Create, powerfs.Truncate, powerfs.Unlink, powerfs.Sync}, codes(ioErr, cantOpen, readOnly)},
	}
)

// onDisks steps each fault through a workload, in each journal mode, once with
// a single failure and once until it is healed.
func onDisks(ctx context.Context, plan trial.Plan) (rows []trial.Row) {
	for i, fault := range diskFaults {
		for j, journal := range []string{"wal", "delete"} {
			for _, times := range []int{1, 0} {
				if plan.Short && times != (i+j)%2 { // one of the two
					continue
				}
				if ctx.Err() == nil {
					rows = append(rows, fault.run(ctx, plan, journal, times))
				}
			}
		}
	}
	return rows
}

func (f diskFault) run(ctx context.Context, plan trial.Plan, journal string, times int) (row trial.Row) {
	row = trial.Row{Section: Section, Name: f.name + ", " + journal}
	if times == 1 {
		row.Name += ", once"
	} else {
		row.Name += ", until healed"
	}
	dir, err := plan.MakeDir("fault " + row.Name)
	if err != nil {
		row.Err = err
		return row
	}
	point := filepath.Join(dir, "disk")
	if row.Err = os.MkdirAll(point, 0o700); row.Err != nil {
		return row
	}
	disk, err := powerfs.StartServer(point)
	if errors.Is(err, powerfs.ErrNoMount) {
		row.Add("%v", err)
		return row
	}
	if err != nil {
		row.Err = err
		return row
	}
	defer func() { row.Err = errors.Join(row.Err, disk.Close()) }()
	rng := plan.Rand(row.Name)
	for n := 0; ctx.Err() == nil; n += step(plan, rng, n) {
		struck, err := f.attempt(ctx, disk, journal, n, times, plan.Times(10, 6), &row)
		row.Attempts++
		row.Faults += struck
		if err != nil {
			row.Err = fmt.Errorf("from operation %d on: %w", n+1, err)
			break
		}
		if struck == 0 { // it did not come to that any more
			break
		}
		plan.Progress("%s: from operation %d on", row.Name, n+1)
	}
	return row
}

// attempt is a workload on a fresh database in which the disk begins to fail at
// the n-th operation.
func (f diskFault) attempt(ctx context.Context, disk *powerfs.Remote, journal string, n, times, moves int, row *trial.Row) (struck int, err error) {
	s := newStage(ctx, disk.Dir, journal, either(f.allowed, sentinels(f.errno))) // the errno where the pool makes the file
	defer func() {
		if s.pool != nil { // it is an error's way out
			err = errors.Join(err, s.pool.Close())
		}
		err = errors.Join(err, clearDir(disk.Dir))
	}()
	var faults []*powerfs.Fault
	for _, op := range f.ops {
		faults = append(faults, &powerfs.Fault{Op: op, After: n, Times: times, Errno: f.errno})
	}
	if err := disk.SetFaults(faults...); err != nil {
		return 0, err
	}
	t := &trouble{forgives: 3, heal: func() error {
		struck, err = disk.Struck()
		if err == nil {
			err = disk.SetFaults()
		}
		return err
	}}
	if times == 1 {
		t.forgives = 0
	}
	cfg := s.config()
	if err := t.try(func() error { return s.open(cfg) }); err != nil {
		return 0, err
	}
	if err := errors.Join(s.workload(t, moves), t.end()); err != nil {
		return struck, err
	}
	// What is acknowledged by now must survive a cut at this moment. SQLite does
	// not tell of a directory that it could not sync, so not if that is the fault:
	// the log's name is not safe then, though the log is.
	lost := 0
	if journal != "wal" || !slices.Contains(f.ops, powerfs.SyncDir) {
		copied := filepath.Join(filepath.Dir(disk.Dir), "copy")
		if err := disk.Peek(copied, uint64(n)); err != nil {
			return 0, err
		}
		if lost, err = s.audit(filepath.Join(copied, filepath.Base(s.setup.Path))); err != nil {
			return struck, fmt.Errorf("after a power loss: %w", err)
		}
	}
	lostToo, err := s.finish()
	row.Acknowledged += len(s.acks)
	row.Lost += lost + lostToo
	row.Doubtful += s.doubled
	return struck, err
}

// step is how far the short form goes on at a time: further and further.
func step(plan trial.Plan, rng *rand.Rand, n int) int {
	if plan.Short {
		return 1 + n + rng.IntN(n+2)
	}
	return 1
}

func clearDir(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}
