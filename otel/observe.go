package sqlaneotel

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/sqlane/sqlane/pool"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
)

// Source has the pools: a *pool.Registry, or [Pools].
type Source interface{ Pools() []*pool.Pool }

// Pools are a Source of their own. Each needs a name of its own: see pool.Config.Name.
type Pools []*pool.Pool

// Pools implements Source.
func (p Pools) Pools() []*pool.Pool { return p }

// Observe has the meter provider ask for the figures of pool.Pool.Stats whenever it
// collects, of the pools that the source has then. Each is told with
// db.client.connection.pool.name:
//
//   - db.client.connection.count by db.client.connection.state, max, pending_requests
//     and timeouts
//   - sqlane.write_queue.length, sqlane.wal.size
//   - sqlane.connection.created, and sqlane.connection.closed by sqlane.reason
//   - sqlane.transaction.count by sqlane.outcome, sqlane.transaction.conflicts and
//     sqlane.transaction.retries
//   - sqlane.batch.commits and sqlane.batch.members
//   - sqlane.lane.wait by sqlane.lane, in seconds, of all callers together
//   - sqlane.statement.cache by sqlane.outcome, sqlane.overloads, sqlane.leases.reclaimed,
//     sqlane.health.checks and sqlane.health.failures
//
// It fails if the provider refuses an instrument, and with fs.ErrInvalid if the source or
// an option is nil. Unregister ends it.
func Observe(source Source, opts ...Option) (metric.Registration, error) {
	if source == nil {
		return nil, fmt.Errorf("sqlaneotel: the source is nil: %w", fs.ErrInvalid)
	}
	o, err := optionsOf(opts)
	if err != nil {
		return nil, err
	}
	meter := o.meter()
	count, err := dbconv.NewClientConnectionCountObservable(meter)
	if err != nil {
		return nil, err
	}
	most, err := dbconv.NewClientConnectionMaxObservable(meter)
	if err != nil {
		return nil, err
	}
	pending, err := dbconv.NewClientConnectionPendingRequestsObservable(meter)
	if err != nil {
		return nil, err
	}
	timeouts, err := dbconv.NewClientConnectionTimeoutsObservable(meter)
	if err != nil {
		return nil, err
	}
	wait, err := meter.Float64ObservableCounter("sqlane.lane.wait", metric.WithUnit("s"), metric.WithDescription("Time that callers spent waiting for a lane, all together."))
	if err != nil {
		return nil, err
	}
	all := []metric.Observable{count.Inst(), most.Inst(), pending.Inst(), timeouts.Inst(), wait}
	own := make([]metric.Int64Observable, len(figures))
	for i, f := range figures {
		if own[i], err = f.instrument(meter); err != nil {
			return nil, err
		}
		all = append(all, own[i])
	}
	return meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		for _, p := range source.Pools() {
			s, name := p.Stats(), poolName(p.Name())
			to.ObserveInt64(count.Inst(), int64(s.Idle), metric.WithAttributes(name, semconv.DBClientConnectionStateIdle))
			to.ObserveInt64(count.Inst(), int64(s.InUse), metric.WithAttributes(name, semconv.DBClientConnectionStateUsed))
			to.ObserveInt64(most.Inst(), int64(s.MaxConns), metric.WithAttributes(name))
			to.ObserveInt64(pending.Inst(), int64(s.Waiting), metric.WithAttributes(name))
			to.ObserveInt64(timeouts.Inst(), int64(s.Timeouts), metric.WithAttributes(name))
			to.ObserveFloat64(wait, s.AcquireWait.Seconds(), metric.WithAttributes(name, attribute.String("sqlane.lane", "read")))
			to.ObserveFloat64(wait, s.WriteWait.Seconds(), metric.WithAttributes(name, attribute.String("sqlane.lane", "write")))
			for i, f := range figures {
				f.observe(s, func(value int64, attrs ...attribute.KeyValue) {
					to.ObserveInt64(own[i], value, metric.WithAttributes(append(attrs, name)...))
				})
			}
		}
		return nil
	}, all...)
}

// figure is a metric of sqlane's own.
type figure struct {
	name, unit, text string
	gauge            bool // it goes down too
	observe          func(s pool.Stats, tell func(int64, ...attribute.KeyValue))
}

func (f figure) instrument(meter metric.Meter) (metric.Int64Observable, error) {
	if f.gauge {
		return meter.Int64ObservableUpDownCounter(f.name, metric.WithUnit(f.unit), metric.WithDescription(f.text))
	}
	return meter.Int64ObservableCounter(f.name, metric.WithUnit(f.unit), metric.WithDescription(f.text))
}

func gauge(name, unit, text string, of func(pool.Stats) int64) figure {
	return figure{name, unit, text, true, func(s pool.Stats, tell func(int64, ...attribute.KeyValue)) { tell(of(s)) }}
}

func counter(name, unit, text string, of func(pool.Stats) uint64) figure {
	return figure{name, unit, text, false, func(s pool.Stats, tell func(int64, ...attribute.KeyValue)) { tell(int64(of(s))) }}
}

// counters are several of one name, told apart by an attribute.
func counters(name, unit, text, by string, of func(pool.Stats) map[string]uint64) figure {
	return figure{name, unit, text, false, func(s pool.Stats, tell func(int64, ...attribute.KeyValue)) {
		for value, n := range of(s) {
			tell(int64(n), attribute.String(by, value))
		}
	}}
}

var figures = []figure{
	gauge("sqlane.write_queue.length", "{request}", "Callers that wait for the write lane.", func(s pool.Stats) int64 { return int64(s.WriteQueue) }),
	gauge("sqlane.wal.size", "By", "Size of the write-ahead log.", func(s pool.Stats) int64 { return s.WALBytes }),
	counter("sqlane.connection.created", "{connection}", "Connections opened.", func(s pool.Stats) uint64 { return s.Created }),
	counters("sqlane.connection.closed", "{connection}", "Connections closed.", "sqlane.reason", func(s pool.Stats) map[string]uint64 {
		return map[string]uint64{"expired": s.Expired, "idle": s.IdleClosed, "broken": s.Broken, "dirty": s.Dirty, "reset": s.Reset}
	}),
	counters("sqlane.transaction.count", "{transaction}", "Transactions that have ended.", "sqlane.outcome", func(s pool.Stats) map[string]uint64 {
		return map[string]uint64{"committed": s.Committed, "rolled_back": s.RolledBack, "lost": s.Lost}
	}),
	counter("sqlane.transaction.conflicts", "{conflict}", "Transactions that another one had overtaken.", func(s pool.Stats) uint64 { return s.Conflicts }),
	counter("sqlane.transaction.retries", "{run}", "Runs of functions beyond the first.", func(s pool.Stats) uint64 { return s.Retries }),
	counter("sqlane.batch.commits", "{commit}", "Commits of batches.", func(s pool.Stats) uint64 { return s.Batches }),
	counter("sqlane.batch.members", "{request}", "Callers whose work was in them.", func(s pool.Stats) uint64 { return s.BatchMembers }),
	counters("sqlane.statement.cache", "{statement}", "Statements found prepared, or not.", "sqlane.outcome", func(s pool.Stats) map[string]uint64 {
		return map[string]uint64{"hit": s.StatementHits, "miss": s.StatementMisses}
	}),
	counter("sqlane.overloads", "{request}", "Callers refused since too many waited.", func(s pool.Stats) uint64 { return s.Overloads }),
	counter("sqlane.leases.reclaimed", "{lease}", "Leases abandoned without Release.", func(s pool.Stats) uint64 { return s.Reclaimed }),
	counter("sqlane.health.checks", "{check}", "Rounds of health checks.", func(s pool.Stats) uint64 { return s.HealthChecks }),
	counter("sqlane.health.failures", "{check}", "Rounds that found something wrong.", func(s pool.Stats) uint64 { return s.HealthFailures }),
}
