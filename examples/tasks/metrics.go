package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sqlane/sqlane/pool"
	sqlaneprom "github.com/sqlane/sqlane/prometheus"
)

// metrics is for Prometheus: the pool's figures, and those of Go and of the process.
func metrics(p *pool.Pool) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		sqlaneprom.New(sqlaneprom.Pools{p}),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}
