package sqlaneotel

import (
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// scope names the instrumentation.
const scope = "github.com/sqlane/sqlane/otel"

// Option changes a default.
type Option func(*options)

type options struct {
	traces    trace.TracerProvider
	metrics   metric.MeterProvider
	omitsText bool
}

func optionsOf(given []Option) options {
	o := options{traces: otel.GetTracerProvider(), metrics: otel.GetMeterProvider()}
	for _, set := range given {
		set(&o)
	}
	return o
}

// WithTracerProvider says who makes spans. Default: otel's global provider.
func WithTracerProvider(p trace.TracerProvider) Option { return func(o *options) { o.traces = p } }

// WithMeterProvider says who makes metrics. Default: otel's global provider.
func WithMeterProvider(p metric.MeterProvider) Option { return func(o *options) { o.metrics = p } }

// WithoutQueryText leaves db.query.text out. Default: it is there, without literals.
func WithoutQueryText() Option { return func(o *options) { o.omitsText = true } }

func (o options) tracer() trace.Tracer {
	return o.traces.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
}

func (o options) meter() metric.Meter {
	return o.metrics.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
}
