package faults_test

import (
	"testing"

	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/faults"
	"github.com/sqlane/sqlane/torture/powerfs"
	"github.com/sqlane/sqlane/torture/trial"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	child.Main(map[string]child.Role{powerfs.Server: powerfs.Serve, faults.Alone: faults.PlayAlone, faults.Locker: faults.Lock})
	goleak.VerifyTestMain(m)
}

func TestThePoolTellsOfEveryFaultLosesNothingAndRecovers(t *testing.T) {
	rows := faults.Run(t.Context(), trial.Plan{Dir: t.TempDir(), Seed: 1, Short: true, Progress: func(string, ...any) {}})
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
