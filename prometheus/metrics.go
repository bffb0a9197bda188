package sqlaneprom

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sqlane/sqlane/pool"
)

// metric is what is told of each pool under one name.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(pool.Stats) []value
}

// value is one of them. Its label is empty if there is but one.
type value struct {
	label string
	value float64
}

func newMetric(kind prometheus.ValueType, name, help string, labels []string, read func(pool.Stats) []value) metric {
	return metric{prometheus.NewDesc("sqlane_pool_"+name, help, append([]string{"pool"}, labels...), nil), kind, read}
}

func one[T int | int64 | uint64](of func(pool.Stats) T) func(pool.Stats) []value {
	return func(s pool.Stats) []value { return []value{{"", float64(of(s))}} }
}

func gauge[T int | int64](name, help string, of func(pool.Stats) T) metric {
	return newMetric(prometheus.GaugeValue, name, help, nil, one(of))
}

func counter(name, help string, of func(pool.Stats) uint64) metric {
	return newMetric(prometheus.CounterValue, name+"_total", help, nil, one(of))
}

func gauges(name, help, by string, read func(pool.Stats) []value) metric {
	return newMetric(prometheus.GaugeValue, name, help, []string{by}, read)
}

func counters(name, help, by string, read func(pool.Stats) []value) metric {
	return newMetric(prometheus.CounterValue, name+"_total", help, []string{by}, read)
}

var metrics = []metric{
	gauge("max_connections", "Most connections open at once.", func(s pool.Stats) int { return s.MaxConns }),
	gauges("connections", "Connections open now.", "state", func(s pool.Stats) []value {
		return []value{{"idle", float64(s.Idle)}, {"in_use", float64(s.InUse)}}
	}),
	gauges("waiters", "Callers that wait: for a connection to read with, or for the write lane.", "lane", func(s pool.Stats) []value {
		return []value{{"read", float64(max(s.Waiting-s.WriteQueue, 0))}, {"write", float64(s.WriteQueue)}}
	}),
	gauge("wal_bytes", "Size of the write-ahead log.", func(s pool.Stats) int64 { return s.WALBytes }),

	counter("acquires", "Leases given, those of transactions included.", func(s pool.Stats) uint64 { return s.Acquires }),
	counter("acquire_timeouts", "Waits that ended with ErrAcquireTimeout.", func(s pool.Stats) uint64 { return s.Timeouts }),
	counter("overloads", "Callers refused with ErrOverloaded.", func(s pool.Stats) uint64 { return s.Overloads }),
	counters("wait_seconds", "Time that callers spent waiting, all together.", "lane", func(s pool.Stats) []value {
		return []value{{"read", s.AcquireWait.Seconds()}, {"write", s.WriteWait.Seconds()}}
	}),

	counter("connections_opened", "Connections opened.", func(s pool.Stats) uint64 { return s.Created }),
	counters("connections_closed", "Connections closed, by reason.", "reason", func(s pool.Stats) []value {
		return []value{
			{"expired", float64(s.Expired)},
			{"idle", float64(s.IdleClosed)},
			{"broken", float64(s.Broken)},
			{"dirty", float64(s.Dirty)},
			{"reset", float64(s.Reset)},
		}
	}),
	counter("health_checks", "Rounds of health checks.", func(s pool.Stats) uint64 { return s.HealthChecks }),
	counter("health_check_failures", "Rounds that found something wrong.", func(s pool.Stats) uint64 { return s.HealthFailures }),
	counter("leases_reclaimed", "Leases that were abandoned without Release.", func(s pool.Stats) uint64 { return s.Reclaimed }),

	counters("transactions", "Transactions that have ended: by their owner, or lost, which SQLite has rolled back.", "outcome", func(s pool.Stats) []value {
		return []value{{"committed", float64(s.Committed)}, {"rolled_back", float64(s.RolledBack)}, {"lost", float64(s.Lost)}}
	}),
	counter("conflicts", "Transactions that another one had overtaken: ErrConflict.", func(s pool.Stats) uint64 { return s.Conflicts }),
	counter("retries", "Runs of functions beyond the first.", func(s pool.Stats) uint64 { return s.Retries }),
	counter("batches", "Commits of batches.", func(s pool.Stats) uint64 { return s.Batches }),
	counter("batch_members", "Callers whose work was in them.", func(s pool.Stats) uint64 { return s.BatchMembers }),
	counters("statements", "Statements run that were found prepared, hit, or had to be prepared, miss.", "cache", func(s pool.Stats) []value {
		return []value{{"hit", float64(s.StatementHits)}, {"miss", float64(s.StatementMisses)}}
	}),
}
