package main

import (
	"io"
	"net/http"

	sqlaneotel "github.com/sqlane/sqlane/otel"
	"github.com/sqlane/sqlane/pool"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/trace"
)

// newTraces returns where spans go: to w, as JSON, or nowhere if w is nil. In a
// program of yours otlptracehttp.New may stand here, which sends them to a collector.
func newTraces(w io.Writer) (*trace.TracerProvider, error) {
	if w == nil {
		return trace.NewTracerProvider(trace.WithSampler(trace.NeverSample())), nil
	}
	exporter, err := stdouttrace.New(stdouttrace.WithWriter(w))
	if err != nil {
		return nil, err
	}
	return trace.NewTracerProvider(trace.WithBatcher(exporter)), nil
}

// traceRequests makes a span of each request, but for those that have no end or come
// every other second.
func traceRequests(spans *trace.TracerProvider, next http.Handler) http.Handler {
	return otelhttp.NewHandler(next, "", otelhttp.WithTracerProvider(spans), otelhttp.WithFilter(func(r *http.Request) bool {
		return r.URL.Path != "/live" && r.URL.Path != "/healthz" && r.URL.Path != "/metrics"
	}))
}

// traceQueries makes spans of what the pool does for a request, below the request's own:
// each query and transaction, and what it waited for. They have no arguments in them.
func traceQueries(spans *trace.TracerProvider) (pool.Tracer, error) {
	return sqlaneotel.NewTracer(sqlaneotel.WithTracerProvider(spans))
}
