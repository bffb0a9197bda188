package power_test

import (
	"testing"

	"github.com/sqlane/sqlane/torture/bank"
	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/power"
	"github.com/sqlane/sqlane/torture/trial"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	child.Main(map[string]child.Role{power.Writer: bank.Work})
	goleak.VerifyTestMain(m)
}

func TestWhatWasAcknowledgedSurvivesPowerLoss(t *testing.T) {
	rows := power.Run(t.Context(), trial.Plan{Dir: t.TempDir(), Seed: 1, Short: true, Progress: t.Logf})
	require.NotEmpty(t, rows)
	acknowledged := 0
	for _, row := range rows {
		acknowledged += row.Acknowledged
		t.Run(row.Name, func(t *testing.T) {
			if row.Untried() {
				t.Skip(row.Note)
			}
			require.NoError(t, row.Verdict())
		})
	}
	require.True(t, acknowledged > 0 || rows[0].Untried())
}
