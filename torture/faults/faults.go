// Package faults breaks the ground under a pool, and sees that it says so, loses
// nothing, and recovers when the ground is firm again.
package faults

import (
	"context"

	"github.com/sqlane/sqlane/torture/trial"
)

// Section is the table's name for these trials.
const Section = "faults"

// Run runs all trials.
func Run(ctx context.Context, plan trial.Plan) (rows []trial.Row) {
	for _, run := range []func(context.Context, trial.Plan) []trial.Row{
		onDisks,
		fullDisks,
		locked,
		onFiles,
		apart("read-only"),
		apart("file sizes"),
		apart("descriptors"),
		apart("clock"),
	} {
		if ctx.Err() == nil {
			rows = append(rows, run(ctx, plan)...)
		}
	}
	return rows
}

func apart(name string) func(context.Context, trial.Plan) []trial.Row {
	return func(ctx context.Context, plan trial.Plan) []trial.Row { return []trial.Row{inAlone(ctx, plan, name)} }
}
