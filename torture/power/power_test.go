package power_test

import (
	"testing"

	"github.com/sqlane/sqlane/torture/bank"
	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/power"
	"github.com/sqlane/sqlane/torture/trial/trialtest"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	child.Main(map[string]child.Role{power.Writer: bank.Work})
	goleak.VerifyTestMain(m)
}

func TestWhatWasAcknowledgedSurvivesPowerLoss(t *testing.T) {
	rows := power.Run(t.Context(), trialtest.Short(t))
	require.True(t, trialtest.Require(t, rows) > 0 || rows[0].Untried())
}
