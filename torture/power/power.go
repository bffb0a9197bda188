// Package power cuts the power under processes that write, and counts what was
// promised. The disk is a model, package powerfs; the processes know nothing of it.
package power

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/sqlane/sqlane/torture/bank"
	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/powerfs"
	"github.com/sqlane/sqlane/torture/trial"
)

// Section is the table's name for these trials.
const Section = "power loss"

// Writer is the role of the processes whose power is cut.
const Writer = "writer"

// setting is how a trial's pool is configured, and what it promises.
type setting struct {
	journal, synchronous string
	keeps                promise
	long, short          int // cuts
}

type promise int

const (
	everything promise = iota // nothing that was acknowledged is lost
	prefix                    // the newest commits may be
	nothing                   // it must lose something, or the simulation has no teeth
)

var settings = []setting{
	{"wal", "full", everything, 300, 8},
	{"wal", "normal", prefix, 100, 4},
	{"delete", "extra", everything, 40, 1},
	{"truncate", "full", everything, 60, 2},
	{"persist", "full", everything, 60, 2},
	{"delete", "full", everything, 100, 2},
	{"wal", "off", nothing, 40, 2},
}

// Run runs all trials.
func Run(ctx context.Context, plan trial.Plan) (rows []trial.Row) {
	for _, s := range settings {
		if ctx.Err() == nil {
			rows = append(rows, s.run(ctx, plan))
		}
	}
	return rows
}

// run cuts the power again and again. What a cut leaves is the disk of the next
// cycle, whose pool has to recover the database; the audit looks at a copy.
func (s setting) run(ctx context.Context, plan trial.Plan) trial.Row {
	row := trial.Row{Section: Section, Name: s.journal + ", synchronous " + s.synchronous, MustLose: s.keeps == nothing}
	dir, err := plan.MakeDir("power " + row.Name)
	if err != nil {
		row.Err = err
		return row
	}
	rng := plan.Rand(row.Name)
	cuts := plan.Times(s.long, s.short)
	auditor := new(bank.Auditor)
	var image powerfs.Image
	var newest, damaged int
	for run := 1; !row.Enough(cuts) && ctx.Err() == nil && row.Err == nil; run++ {
		setup := bank.Setup{Journal: s.journal, Synchronous: s.synchronous, Run: run, Writers: 50, Seed: plan.Seed}
		after, acks, err := cut(ctx, dir, image, setup, rng)
		if errors.Is(err, powerfs.ErrNoMount) {
			row.Add("%v", err)
			return row
		}
		lost := 0
		if err == nil {
			lost, err = audit(ctx, dir, after, auditor, run, acks)
			if s.keeps == nothing && err != nil {
				damaged++
				after, auditor, err = nil, new(bank.Auditor), nil
			}
		}
		if s.keeps == prefix {
			newest += lost // and the audit saw that they were the newest
			lost = 0
		}
		image = after
		row.Attempts++
		row.Faults++
		row.Acknowledged += len(acks)
		row.Lost += lost
		if err != nil {
			row.Err = fmt.Errorf("cut %d: %w", run, err)
		}
		plan.Progress("%s: %d of %d cuts, %d acknowledged", row.Name, run, cuts, row.Acknowledged)
	}
	row.MustLose = row.MustLose && (ctx.Err() == nil || row.Lost > 0) // Ctrl-C may come first
	switch s.keeps {
	case prefix:
		row.Add("only the newest were lost, as promised: %d commits", newest)
	case nothing:
		row.Add("planted: shows that the simulation can lose; %d databases were damaged", damaged)
	}
	return row
}

// cut has a process write on a disk, and takes its power away at some moment.
func cut(ctx context.Context, dir string, image powerfs.Image, setup bank.Setup, rng *rand.Rand) (after powerfs.Image, acks []bank.Ack, err error) {
	point := filepath.Join(dir, "disk")
	if err := os.MkdirAll(point, 0o700); err != nil {
		return nil, nil, err
	}
	disk := powerfs.NewDisk(image)
	mount, err := powerfs.Mount(point, disk)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, mount.Unmount()) }()
	setup.Path = filepath.Join(point, "bank.db")
	c, err := child.Start(Writer, setup)
	if err != nil {
		return nil, nil, err
	}
	var said []string
	if opening := rng.IntN(8) == 0; opening {
		trial.Pause(ctx, rng, 50*time.Millisecond)
	} else {
		said = bank.Watch(ctx, c, rng.IntN(300), time.Second)
	}
	trial.Pause(ctx, rng, 3*time.Millisecond)
	after = disk.Cut(rng)
	c.Kill()
	disk.Off() // only now: the process shall not see that anything fails
	rest, _ := c.Wait()
	acks, complaints := bank.Report(append(said, rest...))
	for _, complaint := range complaints {
		err = errors.Join(err, errors.New(complaint))
	}
	return after, acks, err
}

// audit looks at a copy of what a cut has left.
func audit(ctx context.Context, dir string, image powerfs.Image, auditor *bank.Auditor, run int, acks []bank.Ack) (lost int, err error) {
	copied := filepath.Join(dir, "copy")
	if err := image.Save(copied); err != nil {
		return 0, err
	}
	return auditor.Audit(context.WithoutCancel(ctx), filepath.Join(copied, "bank.db"), run, acks)
}
