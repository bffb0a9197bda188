package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sqlane/sqlane/bench/peers"
	sqlaneotel "github.com/sqlane/sqlane/otel"
	"github.com/sqlane/sqlane/pool"
	sqlaneprom "github.com/sqlane/sqlane/prometheus"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
)

// O1: what it costs to be looked at. It is sqlane's own adapters that take turns, beside
// a pool that nobody looks at.

const (
	unobserved = "nothing"
	bySlow     = "SlowQuery"
	byNoop     = "otel, no-op"
	bySDK      = "otel, SDK"
	byScrapes  = "prometheus"
)

func observed() workload {
	var all []peers.Peer
	for _, name := range []string{unobserved, bySlow, byNoop, bySDK, byScrapes} {
		p := peers.Sqlane()
		p.Name = name
		p.Open = func(ctx context.Context, o peers.Options) (peers.DB, error) { return openObserved(ctx, name, o) }
		all = append(all, p)
	}
	return workload{
		ID: "O1", Title: "the point read of R1 while it is looked at", Primary: "ns/op", columns: allocations,
		own: unobserved, others: all,
		run: pointRead().run,
	}
}

// observer is a database and what looks at it.
type observer struct {
	peers.DB
	closers []func() error
}

// Close implements peers.DB.
func (o *observer) Close() error {
	err := o.DB.Close()
	for _, c := range o.closers {
		err = errors.Join(err, c())
	}
	return err
}

func (o *observer) later(c func() error) { o.closers = append(o.closers, c) }

func openObserved(ctx context.Context, name string, options peers.Options) (_ peers.DB, err error) {
	cfg := pool.Config{Path: options.Path, Synchronous: pool.Synchronous(options.Synchronous)}
	o := new(observer)
	observe := func(*pool.Pool) error { return nil }
	switch name {
	case bySlow:
		cfg.SlowQuery = time.Hour
	case byNoop:
		cfg.Tracer, err = sqlaneotel.NewTracer(sqlaneotel.WithTracerProvider(nooptrace.NewTracerProvider()), sqlaneotel.WithMeterProvider(noopmetric.NewMeterProvider()))
	case bySDK:
		traces := sdktrace.NewTracerProvider(sdktrace.WithBatcher(dropped{}))
		metrics := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(dropped{}, sdkmetric.WithInterval(100*time.Millisecond))))
		o.later(func() error { return errors.Join(traces.Shutdown(ctx), metrics.Shutdown(ctx)) })
		observe = func(p *pool.Pool) error {
			_, err := sqlaneotel.Observe(sqlaneotel.Pools{p}, sqlaneotel.WithMeterProvider(metrics))
			return err
		}
		cfg.Tracer, err = sqlaneotel.NewTracer(sqlaneotel.WithTracerProvider(traces), sqlaneotel.WithMeterProvider(metrics))
	}
	if err != nil {
		return nil, err
	}
	p, err := pool.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	o.DB = peers.OnPool(p)
	if err := observe(p); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	if name == byScrapes {
		scrape(o, p)
	}
	return o, nil
}

// dropped is an exporter that keeps nothing.
type dropped struct{}

func (dropped) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (dropped) Export(context.Context, *metricdata.ResourceMetrics) error  { return nil }
func (dropped) ForceFlush(context.Context) error                           { return nil }
func (dropped) Shutdown(context.Context) error                             { return nil }
func (dropped) Temporality(k sdkmetric.InstrumentKind) metricdata.Temporality {
	return sdkmetric.DefaultTemporalitySelector(k)
}

func (dropped) Aggregation(k sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	return sdkmetric.DefaultAggregationSelector(k)
}

// scrape has the pool scraped ten times a second, which is far more often than in life,
// until the observer is closed.
func scrape(o *observer, p *pool.Pool) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(sqlaneprom.New(sqlaneprom.Pools{p}))
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			families, err := registry.Gather()
			if err == nil && len(families) == 0 {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				done <- err
				return
			}
			select {
			case <-stop:
				done <- nil
				return
			case <-tick.C:
			}
		}
	}()
	o.later(func() error {
		close(stop)
		return <-done
	})
}
