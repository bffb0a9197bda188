package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/trial"
)

// Alone is the role of a process in which a trial runs that concerns the whole
// process.
const Alone = "alone"

// alone are those trials.
func alone(name string) func(context.Context, trial.Plan) trial.Row {
	switch name {
	case "file sizes":
		return fileSizes
	case "descriptors":
		return descriptors
	case "read-only":
		return readOnlyFile
	case "clock":
		return clock
	}
	return nil
}

type aloneSetup struct {
	Name string
	Plan trial.Plan
}

type aloneAnswer struct {
	Row   trial.Row
	Error string
}

// inAlone runs a trial in a process of its own.
func inAlone(ctx context.Context, plan trial.Plan, name string, options ...child.Option) trial.Row {
	row := trial.Row{Section: Section, Name: name}
	progress := plan.Progress
	plan.Progress = nil
	c, err := child.Start(Alone, aloneSetup{Name: name, Plan: plan}, options...)
	if err != nil {
		row.Err = err
		return row
	}
	stop := context.AfterFunc(ctx, func() { _ = c.In.Close() })
	defer stop()
	for line := range c.Lines {
		var a aloneAnswer
		if json.Unmarshal([]byte(line), &a) != nil {
			progress("%s", line)
			continue
		}
		row = a.Row
		if a.Error != "" {
			row.Err = errors.New(a.Error)
		}
	}
	_, err = c.End()
	row.Err = errors.Join(row.Err, err)
	return row
}

// PlayAlone is that role.
func PlayAlone(text []byte) error {
	var s aloneSetup
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	run := alone(s.Name)
	if run == nil {
		return fmt.Errorf("there is no trial %q", s.Name)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	s.Plan.Progress = func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	a := aloneAnswer{Row: run(ctx, s.Plan)}
	if a.Row.Err != nil {
		a.Error, a.Row.Err = a.Row.Err.Error(), nil
	}
	return json.NewEncoder(os.Stdout).Encode(a)
}
