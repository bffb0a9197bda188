package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/torture/trial"
)

const writersAtOnce = 4

// mishap is something that happens to the file while there is work, and that can
// be made undone.
type mishap struct {
	name string
	do   func(s *stage) (undo func() error, err error)
}

var mishaps = []mishap{
	{"removed", func(s *stage) (func() error, error) { // and another name keeps it
		kept := s.setup.Path + ".kept"
		err := errors.Join(os.Link(s.setup.Path, kept), os.Remove(s.setup.Path))
		return func() error { return os.Rename(kept, s.setup.Path) }, err
	}},
	{"renamed", func(s *stage) (func() error, error) {
		away := s.setup.Path + ".away"
		return func() error { return os.Rename(away, s.setup.Path) }, os.Rename(s.setup.Path, away)
	}},
	{"replaced by another database", func(s *stage) (func() error, error) {
		other, err := otherDatabase(s)
		if err != nil {
			return nil, err
		}
		away := s.setup.Path + ".away"
		err = errors.Join(os.Link(s.setup.Path, away), os.WriteFile(s.setup.Path+".new", other, 0o600), os.Rename(s.setup.Path+".new", s.setup.Path))
		return func() error {
			now, err := os.ReadFile(s.setup.Path)
			if err == nil && !bytes.Equal(now, other) {
				err = errors.New("the other database was written to")
			}
			return errors.Join(err, os.Rename(away, s.setup.Path))
		}, err
	}},
}

// otherDatabase is one of the same tables.
func otherDatabase(s *stage) ([]byte, error) {
	setup := s.setup
	setup.Path, setup.Journal = filepath.Join(filepath.Dir(s.setup.Path), "other", "bank.db"), "delete"
	if err := os.MkdirAll(filepath.Dir(setup.Path), 0o700); err != nil {
		return nil, err
	}
	p, err := setup.Open(s.ctx)
	if err != nil {
		return nil, err
	}
	if err := p.Close(); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(setup.Path)
	return content, errors.Join(err, os.RemoveAll(filepath.Dir(setup.Path)))
}

func onFiles(ctx context.Context, plan trial.Plan) (rows []trial.Row) {
	for _, journal := range []string{"wal", "delete"} {
		for _, m := range mishaps {
			if ctx.Err() == nil {
				rows = append(rows, m.run(ctx, plan, journal))
			}
		}
		for _, d := range damages {
			if ctx.Err() == nil {
				rows = append(rows, d.run(ctx, plan, journal))
			}
		}
	}
	return rows
}

// run has writers learn of the mishap, each of them, and go on afterwards.
func (m mishap) run(ctx context.Context, plan trial.Plan, journal string) (row trial.Row) {
	row = trial.Row{Section: Section, Name: "the file is " + m.name + ", " + journal}
	dir, err := plan.MakeDir("fault " + row.Name)
	if err != nil {
		row.Err = err
		return row
	}
	// A transaction that has begun may be about to make its journal, and look at
	// the file for its mode.
	s := newStage(ctx, dir, journal, either(sentinels(pool.ErrMoved), codes(ioErr)))
	defer func() {
		if s.pool != nil {
			row.Err = errors.Join(row.Err, s.pool.Close())
		}
	}()
	if row.Err = s.open(s.config()); row.Err != nil {
		return row
	}
	rng := plan.Rand(row.Name)
	for round := 0; round < plan.Times(30, 3) && ctx.Err() == nil && row.Err == nil; round++ {
		row.Err = s.meet(rng, m)
		row.Attempts++
		row.Faults++
	}
	if row.Err != nil {
		return row
	}
	row.Lost, row.Err = s.finish()
	row.Acknowledged = len(s.acks)
	row.Doubtful = s.doubled
	row.Add("%d calls were told", s.failed)
	return row
}

func (s *stage) meet(rng *rand.Rand, m mishap) error {
	undo, err := s.amidWork(rng, m.do)
	if err != nil {
		return err
	}
	for w := range writersAtOnce {
		if err := s.moveAs(w); err == nil || errors.Is(err, errUnexpected) {
			return fmt.Errorf("a writer was not told: %w", err)
		}
	}
	if err := s.pool.HealthCheck(s.ctx); !errors.Is(err, pool.ErrMoved) {
		return fmt.Errorf("the health check: %w", err)
	}
	if err := undo(); err != nil {
		return err
	}
	if err := errors.Join(s.atOnce(writersAtOnce, 3), s.view()); err != nil {
		return fmt.Errorf("after it was back: %w", err)
	}
	return nil
}

// amidWork does something while writers are at work, and lets them finish.
func (s *stage) amidWork(rng *rand.Rand, do func(*stage) (func() error, error)) (undo func() error, err error) {
	var wg sync.WaitGroup
	var worked error
	promised := make(chan struct{}, 1000)
	s.promised = promised
	wg.Go(func() {
		worked = s.atOnce(writersAtOnce, 10)
		close(promised)
	})
	for range rng.IntN(20) { // some moment
		<-promised
	}
	undo, err = do(s)
	wg.Wait()
	s.promised = nil
	if errors.Is(worked, errUnexpected) {
		err = errors.Join(err, worked)
	}
	return undo, err
}

// damage is done to the file and cannot be undone: there is a backup.
type damage struct {
	name string
	do   func(s *stage, rng *rand.Rand) error
}

var damages = []damage{
	{"cut to half", func(s *stage, _ *rand.Rand) error {
		info, err := os.Stat(s.setup.Path)
		if err != nil {
			return err
		}
		return os.Truncate(s.setup.Path, info.Size()/2)
	}},
	{"cut to nothing", func(s *stage, _ *rand.Rand) error { return os.Truncate(s.setup.Path, 0) }},
	{"overwritten with rubbish", func(s *stage, rng *rand.Rand) error {
		// As another program would. Closing it drops this process's locks, which
		// does no harm here: no other process has the file.
		f, err := os.OpenFile(s.setup.Path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return errors.Join(err, f.Close())
		}
		rubbish := make([]byte, info.Size())
		for i := range rubbish {
			rubbish[i] = byte(rng.Uint32())
		}
		_, err = f.WriteAt(rubbish, 0)
		return errors.Join(err, f.Close())
	}},
}

// run sees that the damage is told of, that the pool can be closed, and that the
// backup has everything that was acknowledged before it.
func (d damage) run(ctx context.Context, plan trial.Plan, journal string) (row trial.Row) {
	row = trial.Row{Section: Section, Name: "the file is " + d.name + ", " + journal}
	dir, err := plan.MakeDir("fault " + row.Name)
	if err != nil {
		row.Err = err
		return row
	}
	rng := plan.Rand(row.Name)
	told := 0
	for round := 0; round < plan.Times(20, 2) && ctx.Err() == nil && row.Err == nil; round++ {
		s := newStage(ctx, dir, journal, either(codes(corrupt, notADB, ioErr, full, cantOpen, noTable), sentinels(pool.ErrTxLost, pool.ErrUnhealthy, pool.ErrReadOnly)))
		row.Err = d.suffer(s, rng)
		if s.pool != nil {
			row.Err = errors.Join(row.Err, s.pool.Close())
		}
		row.Err = errors.Join(row.Err, s.leftovers(), clearDir(dir))
		row.Attempts++
		row.Faults++
		row.Acknowledged += len(s.acks)
		told += s.failed
	}
	row.Add("%d calls were told; restored from a backup", told)
	return row
}

func (d damage) suffer(s *stage, rng *rand.Rand) error {
	if err := s.open(s.config()); err != nil {
		return err
	}
	if err := s.atOnce(writersAtOnce, 15); err != nil {
		return err
	}
	backup := s.setup.Path + ".backup"
	if err := s.pool.Backup(s.ctx, backup); err != nil {
		return err
	}
	safe := slices.Clone(s.acks)
	if s.setup.Journal == "wal" { // what is in the log is not hurt, and would mend the file
		if _, err := s.pool.DB().ExecContext(s.ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			return err
		}
	}
	if err := d.do(s, rng); err != nil {
		return err
	}
	for tries := 0; s.failed == 0; tries++ {
		if err := errors.Join(s.move(), s.view()); errors.Is(err, errUnexpected) {
			return err
		}
		if tries == 1000 {
			return errors.New("the damage was never told")
		}
	}
	if err := errors.Join(s.move(), s.view()); errors.Is(err, errUnexpected) {
		return err
	}
	_ = s.pool.Close() // it may say that the file is damaged
	s.pool = nil
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(s.setup.Path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(backup, s.setup.Path); err != nil {
		return err
	}
	if err := s.open(s.config()); err != nil {
		return err
	}
	err := s.pool.Close()
	s.pool = nil
	s.acks = safe
	lost, audited := s.audit(s.setup.Path)
	if lost > 0 {
		audited = errors.Join(audited, fmt.Errorf("%d are not in the backup", lost))
	}
	return errors.Join(err, audited)
}

// readOnlyFile takes the right to write away from a process that is not root,
// and gives it back. It concerns the whole process, which does nothing else.
func readOnlyFile(ctx context.Context, plan trial.Plan) (row trial.Row) {
	row = trial.Row{Section: Section, Name: "the file is made read-only"}
	dir, err := os.MkdirTemp("", "sqlane-torture-") // where others may go too
	if err != nil {
		row.Err = err
		return row
	}
	const nobody = 65534
	if os.Getuid() == 0 {
		if row.Err = errors.Join(os.Chown(dir, nobody, nobody), syscall.Setgroups(nil), syscall.Setresgid(nobody, nobody, nobody), syscall.Setresuid(nobody, nobody, nobody)); row.Err != nil {
			return row
		}
	}
	defer func() { row.Err = errors.Join(row.Err, removeIn(dir)) }()
	s := newStage(ctx, dir, "wal", either(codes(cantOpen, readOnly), sentinels(pool.ErrReadOnly, pool.ErrUnhealthy, fs.ErrPermission)))
	defer func() {
		if s.pool != nil {
			row.Err = errors.Join(row.Err, s.pool.Close())
		}
	}()
	if row.Err = s.open(s.config()); row.Err != nil {
		return row
	}
	for round := 0; round < plan.Times(30, 3) && ctx.Err() == nil; round++ {
		if row.Err = s.readOnlyRound(); row.Err != nil {
			return row
		}
		row.Attempts++
		row.Faults++
	}
	row.Lost, row.Err = s.finish()
	row.Acknowledged = len(s.acks)
	row.Add("%d calls were told", s.failed)
	return row
}

// removeIn removes a directory, or what is in it if the one around it belongs to
// somebody else.
func removeIn(dir string) error {
	err := os.RemoveAll(dir)
	if left, _ := os.ReadDir(dir); errors.Is(err, fs.ErrPermission) && len(left) == 0 {
		return nil
	}
	return err
}

func (s *stage) readOnlyRound() error {
	chmod := func(mode os.FileMode) (err error) {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if e := os.Chmod(s.setup.Path+suffix, mode); !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
		return err
	}
	if err := errors.Join(s.settle(), chmod(0o400)); err != nil {
		return err
	}
	s.pool.Reset() // those that are open may write on; new ones may not
	for range 20 {
		if err := errors.Join(s.move(), s.view()); errors.Is(err, errUnexpected) {
			return err
		}
	}
	if err := chmod(0o600); err != nil {
		return err
	}
	return s.settle()
}

// settle works until every connection writes. SQLite may have opened one with a
// descriptor of the database from before, and the log for reading alone: such a
// connection refuses once, and is replaced.
func (s *stage) settle() (err error) {
	for range s.config().MaxConns + 1 {
		if err = s.atOnce(writersAtOnce, 2); err == nil || errors.Is(err, errUnexpected) {
			return err
		}
	}
	return fmt.Errorf("after it was writable again: %w", err)
}
