package cluster_test

import (
	"testing"

	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/cluster"
	"github.com/sqlane/sqlane/torture/trial/trialtest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	child.Main(cluster.Roles)
	goleak.VerifyTestMain(m)
}

func TestNothingAcknowledgedIsLostWithANode(t *testing.T) {
	trialtest.Require(t, cluster.Run(t.Context(), trialtest.Short(t)))
}
