// Package sqlaneprom is a prometheus.Collector for sqlane's pools: the figures of
// pool.Pool.Stats, read when they are scraped.
//
// [New] takes a *pool.Registry, whose pools come and go, or [Pools]. Each metric has the
// label "pool", the pool's name: see pool.Config.Name. dashboard/sqlane.json is a
// dashboard for Grafana of them.
package sqlaneprom
