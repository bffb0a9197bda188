package cluster_test

import (
	"testing"

	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/cluster"
	"github.com/sqlane/sqlane/torture/trial/trialtest"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	child.Main(cluster.Roles)
	goleak.VerifyTestMain(m)
}

func TestATrialThatCannotBeMadeSaysSo(t *testing.T) {
	t.Setenv(cluster.Program, "")
	t.Setenv("CC", "no-such-compiler")
	rows := cluster.Run(t.Context(), trialtest.Short(t))
	require.NotEmpty(t, rows)
	for _, row := range rows {
		require.True(t, row.Untried())
		require.NoError(t, row.Verdict())
		require.Contains(t, row.Note, "NOT CHECKED: ")
		require.Contains(t, row.Note, "there is no C compiler")
	}
}

func TestANodeThatDoesNotStartIsAFailure(t *testing.T) {
	t.Setenv(cluster.Program, "/bin/false")
	for _, row := range cluster.Run(t.Context(), trialtest.Short(t)) {
		require.ErrorContains(t, row.Verdict(), "was not ready")
	}
}

func TestNothingAcknowledgedIsLostWithANode(t *testing.T) {
	trialtest.Require(t, cluster.Run(t.Context(), trialtest.Short(t)))
}
