package sqlaneprom_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sqlane/sqlane/pool"
	sqlaneprom "github.com/sqlane/sqlane/prometheus"
	"github.com/stretchr/testify/require"
)

// serve is README.md's example.
func serve() *pool.Registry {
	var pools pool.Registry
	prometheus.MustRegister(sqlaneprom.New(&pools))
	http.Handle("/metrics", promhttp.Handler())
	// The end of README.md's example.
	return &pools
}

func TestTheExampleOfTheReadmeRuns(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	source, err := os.ReadFile("readme_test.go")
	require.NoError(t, err)
	_, block, _ := strings.Cut(string(readme), "```go\n")
	block, _, _ = strings.Cut(block, "\n```")
	_, body, _ := strings.Cut(string(source), "func serve() *pool.Registry {\n")
	body, _, _ = strings.Cut(body, "\n\t// The end")
	require.Equal(t, strings.ReplaceAll("\n"+body, "\n\t", "\n"), "\n"+block)

	registered := prometheus.DefaultRegisterer
	prometheus.DefaultRegisterer = prometheus.NewRegistry() // for a run with -count
	defer func() { prometheus.DefaultRegisterer = registered }()
	mux := http.DefaultServeMux
	http.DefaultServeMux = http.NewServeMux()
	defer func() { http.DefaultServeMux = mux }()
	open(t, serve(), pool.Config{Path: pool.Memory, Name: "notes"})
	families, err := prometheus.DefaultRegisterer.(*prometheus.Registry).Gather()
	require.NoError(t, err)
	require.NotEmpty(t, families)
}
