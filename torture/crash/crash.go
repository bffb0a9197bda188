// Package crash kills processes while they write, and counts what was promised.
package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/sqlane/sqlane/torture/bank"
	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/trial"
)

// Section is the table's name for these trials.
const Section = "crash"

// Writer is the role of the processes that are killed.
const Writer = "writer"

// Run runs all trials.
func Run(ctx context.Context, plan trial.Plan) (rows []trial.Row) {
	for _, t := range []struct {
		journal     string
		hasty       bool
		long, short int
	}{
		{"wal", false, 700, 12},
		{"delete", false, 150, 4},
		{"truncate", false, 150, 4},
		{"wal", true, 20, 2},
	} {
		if ctx.Err() == nil {
			rows = append(rows, kill(ctx, plan, t.journal, t.hasty, plan.Times(t.long, t.short)))
		}
	}
	return rows
}

// kill runs cycles on one database. Each process that is killed leaves it to the
// next one, which has to recover it; the audit looks at a copy.
func kill(ctx context.Context, plan trial.Plan, journal string, hasty bool, cycles int) trial.Row {
	row := trial.Row{Section: Section, Name: "kill -9, " + journal, MustLose: hasty}
	if hasty {
		row.Name += ", promises too early"
		row.Add("planted: shows that the audit can find a loss")
	}
	rng := plan.Rand(row.Name)
	dir, err := plan.MakeDir(row.Name)
	if err != nil {
		row.Err = err
		return row
	}
	var auditor bank.Auditor
	var moments [3]int
	for run := 1; !row.Enough(cycles) && ctx.Err() == nil && row.Err == nil; run++ {
		setup := bank.Setup{Path: filepath.Join(dir, "bank.db"), Journal: journal, Synchronous: "full", Run: run, Writers: 50, Seed: plan.Seed, Hasty: hasty}
		acks, moment, err := cycle(ctx, setup, rng)
		var lost int
		if err == nil {
			lost, err = auditCopy(ctx, &auditor, setup.Path, run, acks)
		}
		row.Attempts++
		row.Faults++
		moments[moment]++
		row.Acknowledged += len(acks)
		row.Lost += lost
		if err != nil {
			row.Err = fmt.Errorf("cycle %d: %w", run, err)
		}
		plan.Progress("%s: %d of %d cycles, %d acknowledged", row.Name, run, cycles, row.Acknowledged)
	}
	row.MustLose = row.MustLose && (ctx.Err() == nil || row.Lost > 0) // Ctrl-C may come first
	row.Add("killed %d times at work, %d while opening, %d while closing", moments[working], moments[opening], moments[closing])
	return row
}

const (
	working = iota
	opening
	closing
)

// cycle starts a process, kills it at some moment and returns its promises.
func cycle(ctx context.Context, setup bank.Setup, rng *rand.Rand) (acks []bank.Ack, moment int, err error) {
	c, err := child.Start(Writer, setup)
	if err != nil {
		return nil, 0, err
	}
	var said []string
	switch rng.IntN(10) {
	case 0:
		moment = opening
		trial.Pause(ctx, rng, 60*time.Millisecond)
	case 1:
		moment = closing
		fallthrough
	default:
		said = bank.Watch(ctx, c, rng.IntN(300), time.Second)
		trial.Pause(ctx, rng, 3*time.Millisecond)
		if moment == closing {
			_ = c.In.Close()
			trial.Pause(ctx, rng, 10*time.Millisecond)
		}
	}
	c.Kill()
	rest, _ := c.Wait() // the error is that it was killed
	acks, complaints := bank.Report(append(said, rest...))
	for _, complaint := range complaints {
		err = errors.Join(err, errors.New(complaint))
	}
	return acks, moment, err
}

// auditCopy leaves the database as the killed process did.
func auditCopy(ctx context.Context, auditor *bank.Auditor, path string, run int, acks []bank.Ack) (lost int, err error) {
	dir := filepath.Join(filepath.Dir(path), "copy")
	if err := os.RemoveAll(dir); err != nil {
		return 0, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, err
	}
	copied := filepath.Join(dir, filepath.Base(path))
	for _, suffix := range []string{"", "-wal", "-journal"} {
		if err := copyFile(path+suffix, copied+suffix); err != nil {
			return 0, err
		}
	}
	return auditor.Audit(context.WithoutCancel(ctx), copied, run, acks)
}

// copyFile copies a file if there is one.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
