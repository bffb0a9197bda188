package faults_test

import (
	"testing"

	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/faults"
	"github.com/sqlane/sqlane/torture/powerfs"
	"github.com/sqlane/sqlane/torture/trial/trialtest"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	child.Main(map[string]child.Role{powerfs.Server: powerfs.Serve, faults.Alone: faults.PlayAlone, faults.Locker: faults.Lock})
	goleak.VerifyTestMain(m)
}

func TestThePoolTellsOfEveryFaultLosesNothingAndRecovers(t *testing.T) {
	require.Positive(t, trialtest.Require(t, faults.Run(t.Context(), trialtest.Short(t))))
}
