package sqlaneprom_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/sqlane/sqlane/pool"
	sqlaneprom "github.com/sqlane/sqlane/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scraped is what a server tells whoever scrapes it.
func scraped(t *testing.T, collectors ...prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collectors...)
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	require.NoError(t, err)
	client := server.Client()
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, string(body))
	return string(body)
}

// samples are the lines without comments, by what comes before the value.
func samples(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if i := strings.LastIndexByte(line, ' '); i >= 0 && !strings.HasPrefix(line, "#") {
			all[line[:i]] = line[i+1:]
		}
	}
	return all
}

func open(t *testing.T, r *pool.Registry, cfg pool.Config) *pool.Pool {
	t.Helper()
	cfg.Synchronous = pool.SyncOff
	p, err := r.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func TestARegistryIsScrapedWithThePoolsNames(t *testing.T) {
	var r pool.Registry
	notes := open(t, &r, pool.Config{Path: filepath.Join(t.TempDir(), "notes.db"), Name: "notes", MaxConns: 3})
	for range 2 {
		open(t, &r, pool.Config{Path: pool.Memory, MaxConns: 2})
	}
	ctx := t.Context()
	_, err := notes.Writer().Exec(ctx, "CREATE TABLE notes (text)")
	require.NoError(t, err)
	require.Error(t, notes.InTx(ctx, pool.Immediate, func(context.Context, *pool.Tx) error { return errors.New("ours") }))
	lease, err := notes.Acquire(ctx)
	require.NoError(t, err)
	got := samples(scraped(t, sqlaneprom.New(&r)))
	lease.Release()

	for sample, value := range map[string]string{
		`sqlane_pool_max_connections{pool="notes"}`:                           "3",
		`sqlane_pool_connections{pool="notes",state="in_use"}`:                "1",
		`sqlane_pool_waiters{lane="read",pool="notes"}`:                       "0",
		`sqlane_pool_waiters{lane="write",pool="notes"}`:                      "0",
		`sqlane_pool_transactions_total{outcome="committed",pool="notes"}`:    "1",
		`sqlane_pool_transactions_total{outcome="rolled_back",pool="notes"}`:  "1",
		`sqlane_pool_transactions_total{outcome="lost",pool="notes"}`:         "0",
		`sqlane_pool_batches_total{pool="notes"}`:                             "1",
		`sqlane_pool_batch_members_total{pool="notes"}`:                       "1",
		`sqlane_pool_acquires_total{pool="notes"}`:                            "3",
		`sqlane_pool_connections_closed_total{pool="notes",reason="broken"}`:  "0",
		`sqlane_pool_max_connections{pool=":memory:"}`:                        "2",
		`sqlane_pool_max_connections{pool=":memory: 2"}`:                      "2",
		`sqlane_pool_transactions_total{outcome="committed",pool=":memory:"}`: "0",
	} {
		require.Equal(t, value, got[sample], "%s in %v", sample, slices.Sorted(maps.Keys(got)))
	}
	require.NotEqual(t, "0", got[`sqlane_pool_wal_bytes{pool="notes"}`])

	require.NoError(t, notes.Close())
	for sample := range samples(scraped(t, sqlaneprom.New(&r))) {
		require.NotContains(t, sample, "notes", "a pool that is closed is no longer told of")
	}
}

func TestWhatIsScrapedIsAsPrometheusAdvises(t *testing.T) {
	var r pool.Registry
	open(t, &r, pool.Config{Path: pool.Memory})
	problems, err := promlint.New(strings.NewReader(scraped(t, sqlaneprom.New(&r)))).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
	problems, err = testutil.CollectAndLint(sqlaneprom.New(&r))
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestEachPoolHasEachMetric(t *testing.T) {
	var r pool.Registry
	collector := sqlaneprom.New(&r)
	require.Empty(t, samples(scraped(t, collector)), "no pool, nothing to tell")
	open(t, &r, pool.Config{Path: pool.Memory})
	one := len(samples(scraped(t, collector)))
	described := make(chan *prometheus.Desc, 100)
	collector.Describe(described)
	close(described)
	require.Len(t, described, 19)
	require.Greater(t, one, len(described))
	for range 4 {
		open(t, &r, pool.Config{Path: pool.Memory})
	}
	require.Len(t, samples(scraped(t, collector)), 5*one)
}

func TestPoolsThatShareANameDoNotSpoilTheScrape(t *testing.T) {
	var first, second pool.Registry
	pools := sqlaneprom.Pools{
		open(t, &first, pool.Config{Path: pool.Memory, MaxConns: 7}),
		open(t, &second, pool.Config{Path: pool.Memory, MaxConns: 8}),
	}
	require.Equal(t, "7", samples(scraped(t, sqlaneprom.New(pools)))[`sqlane_pool_max_connections{pool=":memory:"}`])
}

func TestWithoutPoolsThereIsNothingToTell(t *testing.T) {
	for _, c := range []*sqlaneprom.Collector{
		nil, new(sqlaneprom.Collector), sqlaneprom.New(nil), sqlaneprom.New((*pool.Registry)(nil)), sqlaneprom.New(sqlaneprom.Pools(nil)),
	} {
		require.Empty(t, samples(scraped(t, c)))
	}
	require.NotEmpty(t, samples(scraped(t, sqlaneprom.New(sqlaneprom.Pools{nil}))), "a pool that was never open has figures too")
}

func TestScrapingDisturbsNobodyAndNobodyDisturbsIt(t *testing.T) {
	var r pool.Registry
	collector := sqlaneprom.New(&r)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			for range 5 {
				p, err := r.Open(t.Context(), pool.Config{Path: pool.Memory})
				require.NoError(t, err)
				_, err = p.Writer().Exec(t.Context(), "CREATE TABLE t (v)")
				require.NoError(t, err)
				require.NoError(t, p.Close())
			}
		})
	}
	for range 20 {
		scraped(t, collector)
	}
	wg.Wait()
}
