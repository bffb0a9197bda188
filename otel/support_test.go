package sqlaneotel_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	sqlaneotel "github.com/sqlane/sqlane/otel"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a pool whose spans and metrics come here.
type world struct {
	*pool.Pool
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
	tracer trace.Tracer // the program's own
}

func open(t *testing.T, cfg pool.Config, opts ...sqlaneotel.Option) *world {
	t.Helper()
	w := &world{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	traces := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w.spans))
	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader))
	w.tracer = traces.Tracer("the program")
	opts = append([]sqlaneotel.Option{sqlaneotel.WithTracerProvider(traces), sqlaneotel.WithMeterProvider(metrics)}, opts...)
	tracer, err := sqlaneotel.NewTracer(opts...)
	require.NoError(t, err)
	cfg.Tracer = tracer
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "app.db")
	}
	if cfg.Name == "" {
		cfg.Name = "app"
	}
	cfg.Synchronous = pool.SyncOff
	w.Pool, err = pool.Open(t.Context(), cfg)
	require.NoError(t, err)
	registration, err := sqlaneotel.Observe(sqlaneotel.Pools{w.Pool}, opts...)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, registration.Unregister())
		require.NoError(t, w.Close())
		require.Len(t, w.spans.Ended(), len(w.spans.Started()), "whatever began has ended")
		require.NoError(t, traces.Shutdown(context.Background()))
		require.NoError(t, metrics.Shutdown(context.Background()))
	})
	for _, text := range []string{
		"CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE CHECK (text <> ''))",
		"CREATE VIRTUAL TABLE search USING fts5 (text)",
	} {
		_, err := w.Writer().Exec(t.Context(), text)
		require.NoError(t, err)
	}
	w.spans.Reset()
	return w
}

// exec is a function for a transaction.
func exec(text string, args ...any) func(context.Context, *pool.Tx) error {
	return func(ctx context.Context, tx *pool.Tx) error {
		_, err := tx.Exec(ctx, text, args...)
		return err
	}
}

// all are the spans in the order of their beginning, which have ended.
func (w *world) all() (ended []sdktrace.ReadOnlySpan) {
	for _, s := range w.spans.Started() {
		if !s.EndTime().IsZero() {
			ended = append(ended, s)
		}
	}
	return ended
}

func (w *world) named(name string) (found []sdktrace.ReadOnlySpan) {
	for _, s := range w.all() {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	return found
}

func (w *world) one(t *testing.T, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	found := w.named(name)
	require.Len(t, found, 1, name)
	return found[0]
}

func attributes(s sdktrace.ReadOnlySpan) map[string]string { return values(s.Attributes()) }

func values(attrs []attribute.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attrs {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

// metrics are what was collected, by name.
func (w *world) metrics(t *testing.T) map[string]metricdata.Metrics {
	t.Helper()
	var got metricdata.ResourceMetrics
	require.NoError(t, w.reader.Collect(context.Background(), &got))
	all := map[string]metricdata.Metrics{}
	for _, scope := range got.ScopeMetrics {
		require.Equal(t, "github.com/sqlane/sqlane/otel", scope.Scope.Name)
		require.NotEmpty(t, scope.Scope.SchemaURL)
		for _, m := range scope.Metrics {
			all[m.Name] = m
		}
	}
	return all
}

// eventually polls a condition that other goroutines bring about.
func eventually(t *testing.T, so func() bool) {
	t.Helper()
	require.Eventually(t, so, 30*time.Second, time.Millisecond)
}

func set(attrs attribute.Set) map[string]string { return values(attrs.ToSlice()) }
