package sqlaneotel

import (
	"fmt"
	"io/fs"

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

func optionsOf(given []Option) (o options, err error) {
	for i, set := range given {
		if set == nil {
			return o, fmt.Errorf("sqlaneotel: opts[%d] is nil: %w", i, fs.ErrInvalid)
		}
		set(&o)
	}
	if o.traces == nil {
		o.traces = otel.GetTracerProvider()
	}
	if o.metrics == nil {
		o.metrics = otel.GetMeterProvider()
	}
	return o, nil
}

// WithTracerProvider says who makes spans. Default, and what nil is: otel's global
// provider.
func WithTracerProvider(p trace.TracerProvider) Option { return func(o *options) { o.traces = p } }

// WithMeterProvider says who makes metrics. Default, and what nil is: otel's global
// provider.
func WithMeterProvider(p metric.MeterProvider) Option { return func(o *options) { o.metrics = p } }

// WithoutQueryText leaves db.query.text out. Default: it is there, without literals.
func WithoutQueryText() Option { return func(o *options) { o.omitsText = true } }

func (o options) tracer() trace.Tracer {
	return o.traces.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
}

func (o options) meter() metric.Meter {
	return o.metrics.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
}
