// Package dashboard has a test that runs every query of sqlane.json, a dashboard for
// Grafana, against what is scraped of two pools that work.
package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/sqlane/sqlane/pool"
	sqlaneprom "github.com/sqlane/sqlane/prometheus"
	"github.com/stretchr/testify/require"
)

type dashboard struct {
	Templating struct {
		List []struct {
			Name     string
			AllValue string
			Query    any
		}
	}
	Panels []struct {
		ID      int
		Title   string
		GridPos struct{ H, W, X, Y int }
		Targets []struct{ Expr, LegendFormat string }
	}
}

func read(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile("sqlane.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &d))
	require.NotEmpty(t, d.Panels)
	return d
}

// sample is a value at a time.
type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// scrapes are what was scraped, as Prometheus would keep it.
type scrapes struct {
	series  map[string]labels.Labels
	samples map[string][]chunks.Sample
}

// scrape takes down what the server tells, for that time.
func (s *scrapes) scrape(t *testing.T, server *httptest.Server, at time.Time) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	require.NoError(t, err)
	response, err := server.Client().Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	reader := expfmt.NewTextParser(model.UTF8Validation)
	families, err := reader.TextToMetricFamilies(response.Body)
	require.NoError(t, err)
	for name, family := range families {
		for _, m := range family.GetMetric() {
			b := labels.NewBuilder(labels.FromStrings(model.MetricNameLabel, name))
			for _, pair := range m.GetLabel() {
				b.Set(pair.GetName(), pair.GetValue())
			}
			set := b.Labels()
			s.series[set.String()] = set
			s.samples[set.String()] = append(s.samples[set.String()], sample{at.UnixMilli(), m.GetGauge().GetValue() + m.GetCounter().GetValue()})
		}
	}
}

// names are the metrics' names, each with those of its labels.
func (s *scrapes) names() map[string][]string {
	all := map[string][]string{}
	for _, set := range s.series {
		var names []string
		set.Range(func(l labels.Label) { names = append(names, l.Name) })
		all[set.Get(model.MetricNameLabel)] = names
	}
	return all
}

// Querier implements storage.Queryable.
func (s *scrapes) Querier(int64, int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		found := &seriesSet{at: -1}
		for _, key := range slices.Sorted(maps.Keys(s.series)) {
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.series[key].Get(m.Name)) }) {
				found.series = append(found.series, storage.NewListSeries(s.series[key], s.samples[key]))
			}
		}
		return found
	}}, nil
}

type seriesSet struct {
	series []storage.Series
	at     int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *seriesSet) At() storage.Series                { return s.series[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// work does something of each kind.
func work(t *testing.T, p *pool.Pool) {
	t.Helper()
	ctx := t.Context()
	_, err := p.Writer().Exec(ctx, "INSERT INTO notes VALUES ('one')")
	require.NoError(t, err)
	_, err = p.Reader().Exec(ctx, "SELECT * FROM notes")
	require.NoError(t, err)
	require.Error(t, p.InTx(ctx, pool.Immediate, func(context.Context, *pool.Tx) error { return errors.New("ours") }))
	require.NoError(t, p.HealthCheck(ctx))
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	interval = 15 * time.Second
	rounds   = 20
)

// scraped are two pools that work, scraped over HTTP as time goes by.
func scraped(t *testing.T) *scrapes {
	t.Helper()
	var pools pool.Registry
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(sqlaneprom.New(&pools))
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()
	for _, name := range []string{"notes", "files"} {
		p, err := pools.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), name+".db"), Name: name, Synchronous: pool.SyncOff})
		require.NoError(t, err)
		_, err = p.Writer().Exec(t.Context(), "CREATE TABLE notes (text)")
		require.NoError(t, err)
	}
	s := &scrapes{series: map[string]labels.Labels{}, samples: map[string][]chunks.Sample{}}
	for i := range rounds {
		for _, p := range pools.Pools() {
			work(t, p)
		}
		s.scrape(t, server, start.Add(time.Duration(i)*interval))
	}
	require.NoError(t, pools.Shutdown(context.WithoutCancel(t.Context())))
	return s
}

// expression is the query as Grafana sends it.
func expression(expr string) string {
	return strings.NewReplacer("$pool", ".+", "$__rate_interval", "1m").Replace(expr)
}

func TestEveryQueryOfTheDashboardFindsWhatIsScraped(t *testing.T) {
	s := scraped(t)
	scrapedNames := s.names()
	used := map[string]bool{}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
	defer func() { require.NoError(t, engine.Close()) }()
	for _, panel := range read(t).Panels {
		require.NotEmpty(t, panel.Targets, panel.Title)
		for _, target := range panel.Targets {
			expr := expression(target.Expr)
			require.NotContains(t, expr, "$", panel.Title)
			parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
			require.NoError(t, err, "%s: %s", panel.Title, expr)
			parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
				if selector, ok := node.(*parser.VectorSelector); ok {
					known, there := scrapedNames[selector.Name]
					require.True(t, there, "%s: nothing is scraped by the name %s", panel.Title, selector.Name)
					used[selector.Name] = true
					for _, m := range selector.LabelMatchers {
						require.Contains(t, known, m.Name, expr)
					}
				}
				return nil
			})
			query, err := engine.NewRangeQuery(t.Context(), s, nil, expr, start.Add(2*time.Minute), start.Add((rounds-1)*interval), interval)
			require.NoError(t, err, expr)
			result := query.Exec(t.Context())
			require.NoError(t, result.Err, expr)
			require.Empty(t, result.Warnings, expr)
			matrix, err := result.Matrix()
			require.NoError(t, err, expr)
			shown := map[string]bool{}
			for _, series := range matrix {
				require.NotEmpty(t, series.Floats, expr)
				for _, point := range series.Floats {
					require.False(t, math.IsNaN(point.F) || math.IsInf(point.F, 0), "%s: %v", expr, series)
				}
				shown[series.Metric.Get("pool")] = true
				for _, name := range regexp.MustCompile(`{{(\w+)}}`).FindAllStringSubmatch(target.LegendFormat, -1) {
					require.NotEmpty(t, series.Metric.Get(name[1]), "the legend of %s", expr)
				}
			}
			require.Equal(t, map[string]bool{"notes": true, "files": true}, shown, expr)
			query.Close()
		}
	}
	for name := range scrapedNames {
		require.True(t, used[name], "no panel shows %s", name)
	}
}

func TestTheVariablesQueryFindsThePools(t *testing.T) {
	names := scraped(t).names()
	for _, v := range read(t).Templating.List {
		if v.Name != "pool" {
			continue
		}
		found := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(v.Query.(map[string]any)["query"].(string))
		require.Len(t, found, 3)
		require.Contains(t, names[found[1]], found[2])
		require.Equal(t, ".+", v.AllValue)
		return
	}
	require.Fail(t, "there is no variable for the pool")
}

func TestPanelsDoNotOverlap(t *testing.T) {
	taken := map[string]string{}
	ids := map[int]bool{}
	for _, p := range read(t).Panels {
		require.False(t, ids[p.ID], p.Title)
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				at := fmt.Sprint(x, y)
				require.Empty(t, taken[at], "%s is where %s is", p.Title, taken[at])
				taken[at] = p.Title
			}
		}
	}
}
