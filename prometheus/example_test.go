package sqlaneprom_test

import (
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sqlane/sqlane/pool"
	sqlaneprom "github.com/sqlane/sqlane/prometheus"
)

func Example() {
	ctx := context.Background()
	var pools pool.Registry
	registry := prometheus.NewRegistry() // or prometheus.MustRegister, for the default one
	registry.MustRegister(sqlaneprom.New(&pools))
	if _, err := pools.Open(ctx, pool.Config{Path: pool.Memory, Name: "notes", MaxConns: 4}); err != nil {
		log.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sqlane_pool_max_connections" {
			m := f.GetMetric()[0]
			fmt.Println(m.GetLabel()[0].GetValue(), m.GetGauge().GetValue())
		}
	}
	if err := pools.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: notes 4
}
