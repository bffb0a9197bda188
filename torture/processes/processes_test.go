package processes_test

import (
	"testing"

	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/processes"
	"github.com/sqlane/sqlane/torture/trial/trialtest"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	child.Main(map[string]child.Role{processes.Racer: processes.Race, processes.Holder: processes.Hold})
	goleak.VerifyTestMain(m)
}

func TestFourProcessesLoseNoUpdateAndAllGetOn(t *testing.T) {
	require.Positive(t, trialtest.Require(t, processes.Run(t.Context(), trialtest.Short(t))))
}
