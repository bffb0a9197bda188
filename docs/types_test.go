package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/guides"
	"github.com/stretchr/testify/require"
)

// generator is what a guide's go:generate lines and commands run. What stands in for it
// is the version that is pinned.
const generator = "go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1"

func typesGuide(t *testing.T) []guides.Block {
	blocks, _ := guides.Read(t, "sqlc.md")
	return blocks
}

// guideModule writes the files of docs/sqlc.md into a module.
func guideModule(t *testing.T) (dir, pinnedSQLC string) {
	t.Helper()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	dir = t.TempDir()
	for _, b := range typesGuide(t) {
		if b.File == "" {
			continue
		}
		path := filepath.Join(dir, b.File)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(b.Text, generator, pinned(t, "sqlc"))), 0o644))
	}
	out, err := guides.Run(t, dir, "go mod init example.org/shop && go mod edit -require github.com/sqlane/sqlane@v0.0.0 -replace github.com/sqlane/sqlane="+root+" && cp "+root+"/go.sum .")
	require.NoError(t, err, out)
	return dir, pinned(t, "sqlc")
}

func TestTheTypesOfTheGuideAreReadyToCopy(t *testing.T) {
	dir, sqlc := guideModule(t)
	commands := 0
	for _, b := range typesGuide(t) {
		if b.Language != "sh" {
			continue
		}
		for line := range strings.Lines(b.Text) {
			commands++
			out, err := guides.Run(t, dir, strings.Replace(line, generator, sqlc, 1))
			require.NoError(t, err, "%s%s", line, out)
			if strings.HasPrefix(line, "go generate") {
				require.NotContains(t, out, "runs sqlc's own method")
			}
		}
	}
	require.Equal(t, 5, commands)

	// What repogen -v says of a method that somebody has altered is what the guide says.
	name := filepath.Join(dir, "gen", "queries.sql.go")
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	altered := strings.Replace(string(text), "row := q.db.QueryRowContext(ctx, getOrder, id)", "row := q.db.QueryRowContext(ctx, getOrder, id+0)", 1)
	require.NotEqual(t, string(text), altered)
	require.NoError(t, os.WriteFile(name, []byte(altered), 0o644))
	out, err := guides.Run(t, dir, "go run github.com/sqlane/sqlane/cmd/repogen -gen gen -out store/store_gen.go -v")
	require.NoError(t, err, out)
	var promised string
	for _, b := range typesGuide(t) {
		if b.Language == "text" {
			promised = b.Text
		}
	}
	require.Equal(t, promised, out)
	out, err = guides.Run(t, dir, "go test .")
	require.NoError(t, err, "the outcome is the same: %s", out)

	out, err = guides.Run(t, dir, sqlc+" diff")
	require.Error(t, err)
	require.Contains(t, out, "queries.sql.go")
}

func TestTheRulesForQueriesBite(t *testing.T) {
	guide, ours := "", ""
	for _, b := range typesGuide(t) {
		if b.File == "sqlc.yaml" {
			guide = b.Text
		}
	}
	text, err := os.ReadFile("../sqlc.yaml")
	require.NoError(t, err)
	ours = string(text)
	require.Equal(t, guide[strings.Index(guide, "\nrules:"):], ours[strings.Index(ours, "\nrules:"):], "our rules are the guide's")

	dir, sqlc := guideModule(t)
	queries := filepath.Join(dir, "queries.sql")
	good, err := os.ReadFile(queries)
	require.NoError(t, err)
	bad := []struct{ rule, query string }{
		{"where", "-- name: Bad :execrows\nUPDATE orders SET gift = 1;\n"},
		{"where", "-- name: Bad :execrows\nDELETE FROM orders;\n"},
		{"counted", "-- name: Bad :exec\nDELETE FROM orders WHERE id = ?;\n"},
		{"conflict", "-- name: Bad :exec\nINSERT OR REPLACE INTO orders (id, placed_at, lines) VALUES (?, ?, ?);\n"},
		{"conflict", "-- name: Bad :execrows\nUPDATE OR ROLLBACK orders SET id = 1 WHERE id = ?;\n"},
		{"order", "-- name: Bad :many\nSELECT * FROM orders\nLIMIT 10;\n"},
		{"clock", "-- name: Bad :many\nSELECT * FROM orders WHERE paid_at < unixepoch('now');\n"},
	}
	var all strings.Builder
	all.Write(good)
	for i, b := range bad {
		all.WriteString("\n" + strings.ReplaceAll(b.query, "Bad", "Bad"+string(rune('A'+i))))
	}
	all.WriteString("\n-- name: Waived :exec\n-- @sqlc-vet-disable counted\nDELETE FROM orders WHERE true;\n")
	require.NoError(t, os.WriteFile(queries, []byte(all.String()), 0o644))
	out, err := guides.Run(t, dir, sqlc+" vet")
	require.Error(t, err)
	for i, b := range bad {
		require.Regexp(t, `(?m)^queries\.sql: Bad`+string(rune('A'+i))+`: `+b.rule+`: `, out)
	}
	require.NotContains(t, out, "Waived")
	require.Equal(t, len(bad), strings.Count(out, "queries.sql: "), out)
}
