package processes_test

import (
	"testing"

	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/processes"
	"github.com/sqlane/sqlane/torture/trial"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	child.Main(map[string]child.Role{processes.Racer: processes.Race, processes.Holder: processes.Hold})
	goleak.VerifyTestMain(m)
}

func TestFourProcessesLoseNoUpdateAndAllGetOn(t *testing.T) {
	rows := processes.Run(t.Context(), trial.Plan{Dir: t.TempDir(), Seed: 1, Short: true, Progress: t.Logf})
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
	require.Positive(t, acknowledged)
}
