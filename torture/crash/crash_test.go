package crash_test

import (
	"testing"

	"github.com/sqlane/sqlane/torture/bank"
	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/crash"
	"github.com/sqlane/sqlane/torture/trial/trialtest"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	child.Main(map[string]child.Role{crash.Writer: bank.Work})
	goleak.VerifyTestMain(m)
}

func TestWhatWasAcknowledgedSurvivesKill9(t *testing.T) {
	require.Positive(t, trialtest.Require(t, crash.Run(t.Context(), trialtest.Short(t))))
}
