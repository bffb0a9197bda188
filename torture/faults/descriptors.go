package faults

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/torture/trial"
	"golang.org/x/sys/unix"
)

// descriptors takes all file descriptors away while there is work, again and
// again. It concerns the whole process, which does nothing else.
func descriptors(ctx context.Context, plan trial.Plan) (row trial.Row) {
	row = trial.Row{Section: Section, Name: "no descriptors"}
	limit := unix.Rlimit{Cur: 100, Max: 100}
	if row.Err = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); row.Err != nil {
		return row
	}
	for _, journal := range []string{"wal", "delete"} {
		dir, err := plan.MakeDir("fault " + row.Name + " " + journal)
		if err != nil {
			row.Err = err
			return row
		}
		if err := withoutDescriptors(ctx, plan, dir, journal, &row); err != nil {
			row.Err = errors.Join(row.Err, err)
			return row
		}
	}
	return row
}

func withoutDescriptors(ctx context.Context, plan trial.Plan, dir, journal string, row *trial.Row) (err error) {
	const writers = 6
	// With a rollback journal each transaction needs one more.
	s := newStage(ctx, dir, journal, either(codes(cantOpen, ioErr), sentinels(pool.ErrUnhealthy, unix.EMFILE)))
	cfg := s.config()
	cfg.MaxConns = 20
	defer func() {
		if s.pool != nil {
			err = errors.Join(err, s.pool.Close())
		}
	}()
	if err := s.open(cfg); err != nil {
		return err
	}
	for round := 0; round < plan.Times(50, 5) && ctx.Err() == nil; round++ {
		taken := takeAll()
		err := errors.Join(s.move(), s.atOnce(writers, 5))
		for _, f := range taken {
			err = errors.Join(err, f.Close())
		}
		if errors.Is(err, errUnexpected) || journal == "wal" && err != nil {
			return err // in WAL mode those that are open need no more
		}
		row.Attempts++
		row.Faults++
		if err := s.atOnce(writers, 5); err != nil {
			return err
		}
		plan.Progress("%s: round %d", row.Name, round+1)
		if round%5 == 4 {
			s.pool.Reset() // and open them anew
		}
	}
	lost, err := s.finish()
	row.Acknowledged += len(s.acks)
	row.Lost += lost
	row.Doubtful += s.doubled
	row.Add("%s: %d calls were told", journal, s.failed)
	return err
}

func takeAll() (taken []*os.File) {
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return taken
		}
		taken = append(taken, f)
	}
}

// atOnce has writers move at the same time.
func (s *stage) atOnce(writers, moves int) error {
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range moves {
				errs[w] = errors.Join(errs[w], s.moveAs(w))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
