// Package processes has several processes fight for one database, kills some of
// them, and counts what they were promised.
package processes

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/trial"
	_ "modernc.org/sqlite"
)

// Section is the table's name for these trials.
const Section = "processes"

const (
	racers     = 4
	goroutines = 8
	progress   = 25              // promises that each process must get between two kills,
	patience   = 3 * time.Minute // and the longest wait for them
)

// Run runs all trials.
func Run(ctx context.Context, plan trial.Plan) (rows []trial.Row) {
	for _, journal := range []string{"wal", "delete"} {
		if ctx.Err() == nil {
			rows = append(rows, fight(ctx, plan, journal, plan.Times(100, 4)))
		}
	}
	return rows
}

// fight has four processes work. Between kills each of them must get on: of one
// that works, at any moment, and of one that holds the write lock, in turn.
func fight(ctx context.Context, plan trial.Plan, journal string, kills int) (row trial.Row) {
	row = trial.Row{Section: Section, Name: "four at once, " + journal, Attempts: 1}
	dir, err := plan.MakeDir("processes " + journal)
	if err != nil {
		row.Err = err
		return row
	}
	f := &ring{setup: Setup{Path: filepath.Join(dir, "counters.db"), Journal: journal, Goroutines: goroutines}, poke: make(chan struct{}, 1)}
	defer func() {
		row.Err = errors.Join(row.Err, f.end())
		row.Acknowledged, row.Lost = f.total()
		lost, err := f.audit(context.WithoutCancel(ctx))
		row.Lost += lost
		row.Err = errors.Join(row.Err, err)
		row.Add("%d to %d promises a process", f.least(), f.most())
	}()
	for range racers {
		if row.Err = f.start(Racer); row.Err != nil {
			return row
		}
	}
	rng := plan.Rand(row.Name)
	held := 0
	for kill := 0; ; kill++ {
		if row.Err = f.getOn(ctx); row.Err != nil || ctx.Err() != nil || kill == kills {
			break
		}
		if kill%2 == 0 {
			row.Err = f.killHolder(ctx)
			held++
		} else {
			row.Err = f.killRacer(ctx, rng)
		}
		if row.Err != nil {
			break
		}
		row.Faults++
		plan.Progress("%s: %d of %d processes killed", row.Name, kill+1, kills)
	}
	row.Add("%d were killed with the write lock", held)
	return row
}

// ring is where they fight.
type ring struct {
	setup Setup
	last  int // id
	all   []*process
	poke  chan struct{} // somebody said something
}

// process is one that was started. Its goroutine listens to it until it ends.
type process struct {
	*child.Child
	id     int
	role   string
	killed bool
	heard  chan heard // what was said since it was last asked
	ended  chan struct{}

	acks   int
	errors []error
	holds  bool
}

type heard struct {
	acks   int
	holds  bool
	errors []error
}

func (r *ring) start(role string) error {
	r.last++
	setup := r.setup
	setup.ID = r.last
	c, err := child.Start(role, setup)
	if err != nil {
		return err
	}
	p := &process{Child: c, id: setup.ID, role: role, heard: make(chan heard, 1), ended: make(chan struct{})}
	p.heard <- heard{}
	r.all = append(r.all, p)
	go p.listen(r.poke)
	return nil
}

func (p *process) listen(poke chan<- struct{}) {
	defer close(p.ended)
	for line := range p.Lines {
		h := <-p.heard
		switch {
		case line == acknowledged:
			h.acks++
		case line == holding:
			h.holds = true
		default:
			h.errors = append(h.errors, fmt.Errorf("process %d: %s", p.id, line))
		}
		p.heard <- h
		select {
		case poke <- struct{}{}:
		default:
		}
	}
}

// hear takes over what the process has said.
func (p *process) hear() {
	h := <-p.heard
	p.acks += h.acks
	p.holds = p.holds || h.holds
	p.errors = append(p.errors, h.errors...)
	p.heard <- heard{}
}

func (r *ring) racing() []*process {
	return slices.DeleteFunc(slices.Clone(r.all), func(p *process) bool { return p.killed || p.role != Racer })
}

// wait waits until something is so, or a process complains.
func (r *ring) wait(ctx context.Context, what string, so func() bool) error {
	expired := time.NewTimer(patience)
	defer expired.Stop()
	for {
		for _, p := range r.all {
			p.hear()
			if len(p.errors) > 0 {
				return errors.Join(p.errors...)
			}
		}
		if so() {
			return nil
		}
		select {
		case <-r.poke:
		case <-expired.C:
			return fmt.Errorf("%s: not after %v", what, patience)
		case <-ctx.Done():
			return nil
		}
	}
}

// getOn waits until every process has got some more promises.
func (r *ring) getOn(ctx context.Context) error {
	was := make(map[*process]int)
	for _, p := range r.racing() {
		was[p] = p.acks
	}
	return r.wait(ctx, "every process gets on", func() bool {
		for p, acks := range was {
			if p.acks < acks+progress {
				return false
			}
		}
		return true
	})
}

func (r *ring) killHolder(ctx context.Context) error {
	if err := r.start(Holder); err != nil {
		return err
	}
	p := r.all[len(r.all)-1]
	if err := r.wait(ctx, "one holds the write lock", func() bool { return p.holds }); err != nil {
		return err
	}
	p.kill()
	return nil
}

func (r *ring) killRacer(ctx context.Context, rng *rand.Rand) error {
	victims := r.racing()
	p := victims[rng.IntN(len(victims))]
	trial.Pause(ctx, rng, 20*time.Millisecond)
	p.kill()
	return r.start(Racer)
}

func (p *process) kill() {
	p.killed = true
	p.Kill()
	<-p.ended
	p.hear()
	_, _ = p.Wait() // the error is that it was killed
}

// end lets everybody finish what he does.
func (r *ring) end() error {
	var errs []error
	for _, p := range r.racing() {
		_ = p.In.Close()
	}
	for _, p := range r.all {
		if p.killed {
			continue
		}
		if p.role == Holder {
			p.kill()
			continue
		}
		<-p.ended
		_, err := p.Wait()
		p.hear()
		if err != nil && len(p.errors) == 0 {
			err = fmt.Errorf("process %d: %w", p.id, err)
			errs = append(errs, err)
		}
		errs = append(errs, p.errors...)
	}
	return errors.Join(errs...)
}

func (r *ring) total() (acks, lost int) {
	for _, p := range r.all {
		acks += p.acks
	}
	return acks, 0
}

func (r *ring) least() (n int) {
	for i, p := range r.racing() {
		if i == 0 || p.acks < n {
			n = p.acks
		}
	}
	return n
}

func (r *ring) most() (n int) {
	for _, p := range r.racing() {
		n = max(n, p.acks)
	}
	return n
}

// audit compares the counters with the promises. Of a killed process some
// additions more may be there: those that it had no time to report.
func (r *ring) audit(ctx context.Context) (lost int, err error) {
	db, err := sql.Open("sqlite", r.setup.Path)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	var fault string
	if err := db.QueryRowContext(ctx, "SELECT group_concat(integrity_check) FROM pragma_integrity_check").Scan(&fault); err != nil {
		return 0, err
	}
	var errs []error
	if fault != "ok" {
		errs = append(errs, errors.New(fault))
	}
	sum := 0
	for _, p := range r.all {
		var n int
		if err := db.QueryRowContext(ctx, "SELECT n FROM counter WHERE id = ?", p.id).Scan(&n); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return lost, err
		}
		unreported := 0
		if p.killed && p.role == Racer {
			unreported = goroutines
		}
		lost += max(p.acks-n, 0)
		if n < p.acks || n > p.acks+unreported {
			errs = append(errs, fmt.Errorf("counter %d is %d, and %d additions were acknowledged", p.id, n, p.acks))
		}
		sum += n
	}
	var all int
	if err := db.QueryRowContext(ctx, "SELECT n FROM counter WHERE id = 0").Scan(&all); err != nil {
		return lost, err
	}
	if all != sum {
		lost += max(sum-all, 0)
		errs = append(errs, fmt.Errorf("everybody's counter is %d, and the others are %d in all", all, sum))
	}
	return lost, errors.Join(errs...)
}
