package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"

	"github.com/sqlane/sqlane/bench/peers"
)

// What is measured of a peer in a process of its own: this program again, with
// -apart, the measurement's name, the peer's, a database and a number of rows.
var apart = map[string]func(ctx context.Context, p peers.Peer, path string, rows int) (map[string]float64, error){
	"memory": weigh,
	"stream": streamThrough,
}

func (b *bench) apart(ctx context.Context, what string, p peers.Peer, path string, rows int) (sample, error) {
	cmd := exec.CommandContext(ctx, b.self, "-apart", what, p.Name, path, strconv.Itoa(rows))
	var problem strings.Builder
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return sample{}, fmt.Errorf("%w: %s", err, strings.TrimSpace(problem.String()))
	}
	var s sample
	return s, json.Unmarshal(out, &s.metrics)
}

// beApart prints the metrics.
func beApart(ctx context.Context, what string, args []string, out io.Writer) error {
	measure, known := apart[what]
	if !known || len(args) != 3 {
		return fmt.Errorf("-apart %s %v is for the program itself", what, args)
	}
	rows, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	for _, p := range peers.All() {
		if p.Name == args[0] {
			metrics, err := measure(ctx, p, args[1], rows)
			if err != nil {
				return err
			}
			return json.NewEncoder(out).Encode(metrics)
		}
	}
	return fmt.Errorf("there is no peer %q", args[0])
}
