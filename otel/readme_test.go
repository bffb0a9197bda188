package sqlaneotel_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sqlaneotel "github.com/sqlane/sqlane/otel"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// observed is README.md's example.
func observed(ctx context.Context) error {
	tracer, err := sqlaneotel.NewTracer() // of otel's global providers; options name others
	if err != nil {
		return err
	}
	var pools pool.Registry
	p, err := pools.Open(ctx, pool.Config{Path: "notes.db", Name: "notes", Tracer: tracer})
	if err != nil {
		return err
	}
	registration, err := sqlaneotel.Observe(&pools) // connections, transactions, the log
	if err != nil {
		return err
	}
	// The end of README.md's example.
	if err := registration.Unregister(); err != nil {
		return err
	}
	return p.Close()
}

func TestTheExampleOfTheReadmeRuns(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	source, err := os.ReadFile("readme_test.go")
	require.NoError(t, err)
	_, block, _ := strings.Cut(string(readme), "```go\n")
	block, _, _ = strings.Cut(block, "\n```")
	_, body, _ := strings.Cut(string(source), "func observed(ctx context.Context) error {\n")
	body, _, _ = strings.Cut(body, "\n\t// The end")
	require.Equal(t, strings.ReplaceAll("\n"+body, "\n\t", "\n"), "\n"+block)

	t.Chdir(t.TempDir())
	require.NoError(t, observed(t.Context()))
	require.FileExists(t, filepath.Join(".", "notes.db"))
}
