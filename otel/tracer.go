package sqlaneotel

import (
	"context"
	"time"

	"github.com/sqlane/sqlane/pool"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
	"go.opentelemetry.io/otel/trace"
)

// Tracer makes spans and metrics of what it is told, and nothing if NewTracer has not made
// it. One is enough for all pools. It is safe for concurrent use.
type Tracer struct {
	spans     trace.Tracer
	duration  dbconv.ClientOperationDuration
	wait      dbconv.ClientConnectionWaitTime
	omitsText bool
	known     descriptions
}

var _ pool.Tracer = (*Tracer)(nil)

// seconds are the boundaries that the conventions advise for durations, and below them
// some for a database that is in the process.
var seconds = metric.WithExplicitBucketBoundaries(0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)

// NewTracer returns a Tracer for pool.Config. It fails if the meter provider refuses an
// instrument, and with fs.ErrInvalid if an option is nil.
func NewTracer(opts ...Option) (*Tracer, error) {
	o, err := optionsOf(opts)
	if err != nil {
		return nil, err
	}
	t := &Tracer{spans: o.tracer(), omitsText: o.omitsText}
	if t.duration, err = dbconv.NewClientOperationDuration(o.meter(), seconds); err != nil {
		return nil, err
	}
	if t.wait, err = dbconv.NewClientConnectionWaitTime(o.meter(), seconds); err != nil {
		return nil, err
	}
	return t, nil
}

// Start implements pool.Tracer.
func (t *Tracer) Start(ctx context.Context, op pool.TraceOp) (context.Context, func(pool.TraceEnd)) {
	if t == nil || t.spans == nil || ctx == nil {
		return ctx, func(pool.TraceEnd) {}
	}
	d := t.describe(op)
	ctx, span := t.spans.Start(ctx, d.name, d.start...)
	if span.IsRecording() {
		switch op.Name {
		case "commit":
			span.SetAttributes(attribute.Int("sqlane.batch.members", op.Members))
		case "backup":
			span.SetAttributes(attribute.Int("sqlane.backup.pages", op.Done), attribute.Int("sqlane.backup.pages.total", op.Total))
		}
	}
	start := time.Now()
	return ctx, func(end pool.TraceEnd) {
		took := time.Since(start)
		failure := failureOf(end.Err)
		if span.IsRecording() {
			finish(span, end, failure)
		}
		span.End()
		t.record(ctx, d, took.Seconds(), failure)
	}
}

// finish has the span tell how the operation ended.
func finish(span trace.Span, end pool.TraceEnd, failure []attribute.KeyValue) {
	if end.Lane > 0 {
		span.SetAttributes(attribute.Float64("sqlane.wait.lane", end.Lane.Seconds()))
	}
	if end.Lock > 0 {
		span.SetAttributes(attribute.Float64("sqlane.wait.lock", end.Lock.Seconds()))
	}
	if end.Commit != nil {
		span.AddLink(trace.LinkFromContext(end.Commit))
	}
	if failure != nil {
		span.SetAttributes(failure...)
		span.SetStatus(codes.Error, failure[0].Value.AsString())
	}
}

// record has the metrics know of it. ctx has the span, for exemplars.
func (t *Tracer) record(ctx context.Context, d *description, took float64, failure []attribute.KeyValue) {
	switch {
	case d.measure == nil:
	case failure == nil:
		d.measure.Record(ctx, took, d.metric...)
	case d.failures:
		d.measure.Record(ctx, took, append([]metric.RecordOption{metric.WithAttributes(failure...)}, d.metric...)...)
	}
}

// poolName is the conventions' name for a pool's.
func poolName(name string) attribute.KeyValue { return semconv.DBClientConnectionPoolName(name) }
