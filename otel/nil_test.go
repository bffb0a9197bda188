package sqlaneotel_test

import (
	"context"
	"io/fs"
	"testing"

	sqlaneotel "github.com/sqlane/sqlane/otel"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

func TestNothingPanicsOverNil(t *testing.T) {
	ctx := t.Context()
	_, err := sqlaneotel.NewTracer(sqlaneotel.WithoutQueryText(), nil)
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.ErrorContains(t, err, "opts[1] is nil")
	_, err = sqlaneotel.Observe(sqlaneotel.Pools{}, nil)
	require.ErrorIs(t, err, fs.ErrInvalid)
	_, err = sqlaneotel.Observe(nil)
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.ErrorContains(t, err, "the source is nil")

	global, err := sqlaneotel.NewTracer(sqlaneotel.WithTracerProvider(nil), sqlaneotel.WithMeterProvider(nil))
	require.NoError(t, err)
	var nobody context.Context
	for _, tracer := range []*sqlaneotel.Tracer{nil, new(sqlaneotel.Tracer), global} {
		p, err := pool.Open(ctx, pool.Config{Path: pool.Memory, Tracer: tracer})
		require.NoError(t, err)
		require.NoError(t, p.InTx(ctx, pool.Immediate, exec("CREATE TABLE t (v)")))
		require.NoError(t, p.Close())
		_, end := tracer.Start(nobody, pool.TraceOp{Name: "query"})
		end(pool.TraceEnd{})
	}

	w := &world{reader: sdkmetric.NewManualReader()}
	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader))
	for _, source := range []sqlaneotel.Source{(*pool.Registry)(nil), sqlaneotel.Pools(nil), sqlaneotel.Pools{nil}} {
		registration, err := sqlaneotel.Observe(source, sqlaneotel.WithMeterProvider(metrics))
		require.NoError(t, err)
		require.NotPanics(t, func() { w.metrics(t) })
		require.NoError(t, registration.Unregister())
	}
	require.NoError(t, metrics.Shutdown(context.WithoutCancel(ctx)))
}
