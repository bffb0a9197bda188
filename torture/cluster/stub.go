package cluster

import (
	"context"

	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/trial"
)

func cutOff(ctx context.Context, plan trial.Plan, node, name string) []trial.Row        { return nil }
func clientsKilled(ctx context.Context, plan trial.Plan, node, name string) []trial.Row { return nil }
func migrations(ctx context.Context, plan trial.Plan, node, name string) []trial.Row    { return nil }

var Roles = map[string]child.Role{}
