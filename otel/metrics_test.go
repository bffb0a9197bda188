package sqlaneotel_test

import (
	"errors"
	"slices"
	"testing"

	sqlaneotel "github.com/sqlane/sqlane/otel"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
)

func TestMetricsFollowTheConventions(t *testing.T) {
	w := open(t, pool.Config{MaxConns: 3})
	_, err := w.Reader().Exec(t.Context(), "SELECT * FROM notes")
	require.NoError(t, err)
	_, err = w.Reader().Exec(t.Context(), "SELECT nonsense FROM notes")
	require.Error(t, err)
	got := w.metrics(t)
	for _, want := range []interface{ Name() string }{
		dbconv.ClientOperationDuration{},
		dbconv.ClientConnectionWaitTime{},
		dbconv.ClientConnectionCount{},
		dbconv.ClientConnectionMax{},
		dbconv.ClientConnectionPendingRequests{},
		dbconv.ClientConnectionTimeouts{},
	} {
		m := got[want.Name()]
		require.Equal(t, want.Name(), m.Name)
		require.Equal(t, want.(interface{ Unit() string }).Unit(), m.Unit)
	}

	durations := got["db.client.operation.duration"].Data.(metricdata.Histogram[float64]).DataPoints
	of := func(errType string) metricdata.HistogramDataPoint[float64] {
		i := slices.IndexFunc(durations, func(p metricdata.HistogramDataPoint[float64]) bool {
			a := set(p.Attributes)
			return a["db.query.summary"] == "SELECT notes" && a["error.type"] == errType
		})
		require.GreaterOrEqual(t, i, 0)
		return durations[i]
	}
	require.Equal(t, map[string]string{
		"db.system.name": "sqlite", "db.namespace": "app", "db.operation.name": "SELECT", "db.query.summary": "SELECT notes", "db.collection.name": "notes",
	}, set(of("").Attributes))
	require.EqualValues(t, 1, of("").Count)
	require.Equal(t, map[string]string{
		"db.system.name": "sqlite", "db.namespace": "app", "db.operation.name": "SELECT", "db.query.summary": "SELECT notes", "db.collection.name": "notes",
		"error.type": "1", "db.response.status_code": "1",
	}, set(of("1").Attributes))
	require.EqualValues(t, 1, of("1").Count)

	waits := got["db.client.connection.wait_time"].Data.(metricdata.Histogram[float64]).DataPoints
	require.Len(t, waits, 1)
	require.Equal(t, map[string]string{"db.client.connection.pool.name": "app"}, set(waits[0].Attributes))
	require.EqualValues(t, w.Stats().Acquires, waits[0].Count)
}

func TestConnectionsAreCountedByState(t *testing.T) {
	w := open(t, pool.Config{MaxConns: 3, MinConns: 2})
	lease, err := w.Acquire(t.Context())
	require.NoError(t, err)
	defer lease.Release()
	read := func(name string) map[string]int64 {
		all := map[string]int64{}
		for _, p := range w.metrics(t)[name].Data.(metricdata.Sum[int64]).DataPoints {
			a := set(p.Attributes)
			require.Equal(t, "app", a["db.client.connection.pool.name"])
			delete(a, "db.client.connection.pool.name")
			key := ""
			for _, value := range a {
				key = value
			}
			all[key] = p.Value
		}
		return all
	}
	s := w.Stats()
	require.Equal(t, map[string]int64{"idle": int64(s.Idle), "used": 1}, read("db.client.connection.count"))
	require.Equal(t, map[string]int64{"": 3}, read("db.client.connection.max"))
	require.Equal(t, map[string]int64{"": 0}, read("db.client.connection.pending_requests"))
	require.Equal(t, int64(s.Committed), read("sqlane.transaction.count")["committed"])
	require.Equal(t, int64(s.StatementMisses), read("sqlane.statement.cache")["miss"])
	require.Equal(t, map[string]int64{"expired": 0, "idle": 0, "broken": 0, "dirty": 0, "reset": 0}, read("sqlane.connection.closed"))
	require.Positive(t, read("sqlane.wal.size")[""])
	require.Equal(t, map[string]int64{"": int64(s.Batches)}, read("sqlane.batch.commits"))
	require.Len(t, w.metrics(t)["sqlane.lane.wait"].Data.(metricdata.Sum[float64]).DataPoints, 2)
}

func TestARegistrysPoolsAreObservedAsTheyComeAndGo(t *testing.T) {
	w := open(t, pool.Config{})
	var registry pool.Registry
	registration, err := sqlaneotel.Observe(&registry, sqlaneotel.WithMeterProvider(noop.NewMeterProvider()))
	require.NoError(t, err)
	require.NoError(t, registration.Unregister())
	require.Len(t, w.metrics(t)["db.client.connection.max"].Data.(metricdata.Sum[int64]).DataPoints, 1)
}

// refusing is a meter that refuses one instrument.
type refusing struct {
	noop.Meter
	name string
}

// refuser provides it.
type refuser struct {
	noop.MeterProvider
	meter refusing
}

var errRefused = errors.New("refused")

func (r refuser) Meter(string, ...metric.MeterOption) metric.Meter { return r.meter }

func (r refusing) refuse(name string) error {
	if name == r.name {
		return errRefused
	}
	return nil
}

func (r refusing) Float64Histogram(name string, _ ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return noop.Float64Histogram{}, r.refuse(name)
}

func (r refusing) Int64ObservableUpDownCounter(name string, _ ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	return noop.Int64ObservableUpDownCounter{}, r.refuse(name)
}

func (r refusing) Int64ObservableCounter(name string, _ ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	return noop.Int64ObservableCounter{}, r.refuse(name)
}

func (r refusing) Float64ObservableCounter(name string, _ ...metric.Float64ObservableCounterOption) (metric.Float64ObservableCounter, error) {
	return noop.Float64ObservableCounter{}, r.refuse(name)
}

func TestAnInstrumentThatIsRefusedIsAnError(t *testing.T) {
	for _, name := range []string{"db.client.operation.duration", "db.client.connection.wait_time"} {
		_, err := sqlaneotel.NewTracer(sqlaneotel.WithMeterProvider(refuser{meter: refusing{name: name}}))
		require.ErrorIs(t, err, errRefused, name)
	}
	for _, name := range []string{
		"db.client.connection.count", "db.client.connection.max", "db.client.connection.pending_requests", "db.client.connection.timeouts",
		"sqlane.lane.wait", "sqlane.wal.size", "sqlane.batch.commits",
	} {
		_, err := sqlaneotel.Observe(sqlaneotel.Pools{}, sqlaneotel.WithMeterProvider(refuser{meter: refusing{name: name}}))
		require.ErrorIs(t, err, errRefused, name)
	}
}
