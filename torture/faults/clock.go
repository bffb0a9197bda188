package faults

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sqlane/sqlane/torture/trial"
)

// clock has the time of day jump while there is work. Nothing may come of it:
// what the pool waits for and measures is time that has passed. It concerns the
// whole process, which does nothing else.
func clock(ctx context.Context, plan trial.Plan) (row trial.Row) {
	row = trial.Row{Section: Section, Name: "the clock jumps"}
	warp, err := newWarp()
	if errors.Is(err, errNoWarp) {
		row.Add("%v", err)
		return row
	}
	if err != nil {
		row.Err = err
		return row
	}
	defer func() { row.Err = errors.Join(row.Err, warp.close()) }()
	dir, err := plan.MakeDir("fault " + row.Name)
	if err != nil {
		row.Err = err
		return row
	}
	var told atomic.Int64
	s := newStage(ctx, dir, "wal", func(error) bool { return false })
	defer func() {
		if s.pool != nil {
			row.Err = errors.Join(row.Err, s.pool.Close())
		}
	}()
	cfg := s.config()
	cfg.MaxConns, cfg.MinConns = 6, 2
	cfg.MaxConnLifetime, cfg.MaxConnIdleTime = time.Hour, time.Hour
	cfg.HealthCheckInterval, cfg.LeakThreshold = time.Hour, time.Hour
	cfg.AcquireTimeout, cfg.BusyTimeout = 10*time.Minute, 10*time.Minute
	cfg.Logger = slog.New(counter{slog.DiscardHandler, &told})
	if row.Err = s.open(cfg); row.Err != nil {
		return row
	}
	rng := plan.Rand(row.Name)
	jumps := []time.Duration{-10 * 365 * 24 * time.Hour, -25 * time.Hour, -time.Second, time.Second, 25 * time.Hour, 10 * 365 * 24 * time.Hour}
	last := 0
	for round := 0; round < plan.Times(200, 20) && ctx.Err() == nil; round++ {
		before := time.Now()
		last = (last + 1 + rng.IntN(len(jumps)-1)) % len(jumps) // another one than before
		if row.Err = warp.jump(jumps[last]); row.Err != nil {
			return row
		}
		after := time.Now()
		if wall := after.Round(0).Sub(before.Round(0)); wall.Abs() < time.Second/2 {
			row.Err = errors.New("the clock did not jump")
			return row
		}
		row.Attempts++
		row.Faults++
		if row.Err = s.atOnce(6, 3); row.Err != nil {
			return row
		}
	}
	st := s.pool.Stats()
	if n := st.Expired + st.IdleClosed + st.HealthChecks + st.Timeouts + st.Broken; n > 0 || told.Load() > 0 {
		row.Err = errors.New("the pool took a jump of the clock for time that has passed")
	}
	if row.Err = errors.Join(row.Err, warp.jump(0)); row.Err != nil {
		return row
	}
	row.Lost, row.Err = s.finish()
	row.Acknowledged = len(s.acks)
	return row
}

// counter counts what is logged.
type counter struct {
	slog.Handler
	told *atomic.Int64
}

func (c counter) Enabled(context.Context, slog.Level) bool { return true }

func (c counter) Handle(context.Context, slog.Record) error {
	c.told.Add(1)
	return nil
}
