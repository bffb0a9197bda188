// Package cluster takes the nodes of dqlite clusters away from those who work on them:
// kills, pauses and cuts them off, and kills the clients too. The work is the bank's and the
// histories', through package dqlite, and is audited afterwards, on every node.
package cluster

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/sqlane/sqlane/internal/trio"
	"github.com/sqlane/sqlane/torture/trial"
)

// Section is the table's name for these trials.
const Section = "cluster"

// Program is the environment variable that names a binary of cluster/cmd/node, which is
// built otherwise.
const Program = "SQLANE_NODE"

// Run runs all trials.
func Run(ctx context.Context, plan trial.Plan) (rows []trial.Row) {
	plan.Progress("cluster: building a node")
	node, missing, err := program(ctx, plan)
	for _, t := range []struct {
		name string
		run  func(context.Context, trial.Plan, string, string) []trial.Row
	}{
		{"leader killed", killed},
		{"nodes paused", paused},
		{"nodes cut off", cutOff},
		{"clients killed", clientsKilled},
		{"three programs migrate at once", migrations},
	} {
		switch {
		case ctx.Err() != nil:
		case err != nil:
			return append(rows, trial.Row{Section: Section, Name: t.name, Err: err})
		case missing != "":
			rows = append(rows, trial.Row{Section: Section, Name: t.name, Note: missing})
		default:
			rows = append(rows, t.run(ctx, plan, node, t.name)...)
		}
	}
	return rows
}

// program is a node's, or why there can be none here.
func program(ctx context.Context, plan trial.Plan) (path, missing string, err error) {
	if path := os.Getenv(Program); path != "" {
		return path, "", nil
	}
	dir, err := plan.MakeDir("node")
	if err != nil {
		return "", "", err
	}
	path, err = trio.Build(ctx, dir)
	if err == nil || ctx.Err() != nil {
		return path, "", nil
	}
	for _, said := range []struct{ by, means string }{
		{"dqlite.h: No such file", "there is no libdqlite (Debian: libdqlite-dev)"},
		{"cannot find -ldqlite", "there is no libdqlite (Debian: libdqlite-dev)"},
		{"C compiler", "there is no C compiler"},
		{"executable file not found", "there is no go command"},
		{"no such file or directory", "the source of cluster/cmd/node is not here"},
	} {
		if strings.Contains(err.Error(), said.by) {
			return "", fmt.Sprintf("NOT CHECKED: a node cannot be built, %s; %s names a binary", said.means, Program), nil
		}
	}
	return "", "", err
}
