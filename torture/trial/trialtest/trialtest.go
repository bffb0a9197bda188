// Package trialtest makes Go tests of trials.
package trialtest

import (
	"testing"

	"github.com/sqlane/sqlane/torture/trial"
	"github.com/stretchr/testify/require"
)

// Short is the plan of a test.
func Short(t *testing.T) trial.Plan {
	return trial.Plan{Dir: t.TempDir(), Seed: 1, Short: true, Progress: func(string, ...any) {}}
}

// Require sees that every trial held, and returns how much was promised. A trial
// that cannot be made on this machine is skipped, and says why.
func Require(t *testing.T, rows []trial.Row) (acknowledged int) {
	t.Helper()
	require.NotEmpty(t, rows)
	for _, row := range rows {
		acknowledged += row.Acknowledged
		t.Run(row.Name, func(t *testing.T) {
			if row.Untried() {
				t.Skip(row.Note)
			}
			require.NoError(t, row.Verdict())
		})
	}
	return acknowledged
}
