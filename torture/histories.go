package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/sqlane/sqlane/torture/history"
	"github.com/sqlane/sqlane/torture/trial"
)

// histories checks random concurrent histories for strict serializability. What
// is lost there is isolation: an anomaly counts as a loss.
func histories(ctx context.Context, plan trial.Plan) []trial.Row {
	row := trial.Row{Section: "history", Name: "strictly serializable, one snapshot each"}
	dir, err := plan.MakeDir("history")
	if err != nil {
		row.Err = err
		return []trial.Row{row}
	}
	report, err := history.Run(ctx, history.Options{
		Dir: dir, Seed: plan.Seed, Transactions: plan.Times(2000, 100),
		Progress: func(done, of int) { plan.Progress("history: %d of %d", done, of) },
	})
	row.Attempts, row.Faults, row.Acknowledged, row.Lost = report.Histories, report.Failed, report.Committed, report.Anomalies
	row.Add("%d transactions, %d savepoints undone, %d reads", report.Transactions, report.Undone, report.Reads)
	errs := []error{err}
	for _, a := range report.Found {
		errs = append(errs, fmt.Errorf("%s: %s", a.Name, a.Text))
	}
	if row.Err = errors.Join(errs...); ctx.Err() != nil && report.Anomalies == 0 {
		row.Err = nil // cut short by whoever waits for the table
	}
	return []trial.Row{row}
}
