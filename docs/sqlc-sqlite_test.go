package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/guides"
	"github.com/stretchr/testify/require"
)

// TestTheQueriesOfTheGuideToSqlcAreTakenAndRunAndTheOthersRefused makes the guide's
// files a project, with two queries that only the test needs.
func TestTheQueriesOfTheGuideToSqlcAreTakenAndRunAndTheOthersRefused(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	sqlc, files, dir := pinned(t, "sqlc"), guides.Files(t, "sqlc-sqlite.md"), t.TempDir()
	out, err := guides.Run(t, dir, sqlc+" version")
	require.NoError(t, err, out)
	_, prose := guides.Read(t, "sqlc-sqlite.md")
	require.Contains(t, prose, strings.TrimSpace(out)+".")

	test, err := os.ReadFile("testdata/notes_test.go.txt")
	require.NoError(t, err)
	for name, text := range map[string]string{
		"notes_test.go":     string(test),
		"store/doc.go":      "// Package store is the repository of the notes.\npackage store\n",
		"queries/tests.sql": "-- name: GetNote :one\nSELECT * FROM notes WHERE id = ?;\n-- name: SetMeta :execrows\nUPDATE notes SET meta = ?, state = ? WHERE id = ?;\n",
	} {
		write(t, dir, name, text)
	}
	var refused []string
	for name, f := range files {
		if strings.HasPrefix(name, "refused/") {
			refused = append(refused, name)
		} else {
			write(t, dir, name, string(f.Data))
		}
	}
	lines := []string{
		"go mod init example.org/notes",
		"go mod edit -require github.com/sqlane/sqlane@v0.0.0 -replace github.com/sqlane/sqlane=" + root + " && cp " + root + "/go.sum .",
		sqlc + " generate",
		"go run github.com/sqlane/sqlane/cmd/repogen -gen gen -out store/store_gen.go",
		"go mod tidy",
		"go vet ./...",
		"go test .",
	}
	if testing.Short() {
		lines = lines[:4] // the queries are taken; what they do takes a compiler
	}
	for _, line := range lines {
		out, err := guides.Run(t, dir, line)
		require.NoError(t, err, "%s\n%s", line, out)
	}

	require.Len(t, refused, 5)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "queries")))
	for _, name := range refused {
		query, want, ok := strings.Cut(string(files[name].Data), "\n-- column ")
		if want = "column " + want; !ok {
			query, want, ok = strings.Cut(string(files[name].Data), "\n-- extraneous ")
			want = "extraneous " + want
		}
		require.True(t, ok, "%s tells what sqlc says", name)
		write(t, dir, "queries/refused.sql", query)
		out, err := guides.Run(t, dir, sqlc+" generate")
		require.Error(t, err, name)
		require.Contains(t, out, strings.TrimSpace(want))
	}

	// What is said besides.
	write(t, dir, "queries/refused.sql", "-- name: Put :exec\nINSERT INTO notes (slug, title, created_at) VALUES (?, ?, ?) ON CONFLICT (slug) DO UPDATE SET title = ?;\n")
	out, err = guides.Run(t, dir, sqlc+" generate && go run github.com/sqlane/sqlane/cmd/repogen -gen gen -out store/store_gen.go")
	require.Error(t, err)
	require.Contains(t, out, "excluded")
	write(t, dir, "sqlc_only.sql", "ALTER TABLE notes_fts ADD COLUMN rank REAL NOT NULL;\n")
	write(t, dir, "queries/refused.sql", "-- name: Ranks :many\nSELECT rank FROM notes_fts WHERE title MATCH ?;\n-- name: Max :one\nSELECT max(created_at) FROM notes;\n"+
		"-- name: Cast :one\nSELECT CAST(max(created_at) AS DATETIME) FROM notes;\n")
	out, err = guides.Run(t, dir, "sed -i 's/schema: schema/schema: [schema, sqlc_only.sql]/' sqlc.yaml && "+sqlc+" generate && cat gen/querier.go")
	require.NoError(t, err, out)
	require.Contains(t, out, "Ranks(ctx context.Context, title string) ([]float64, error)")
	require.Contains(t, out, "Max(ctx context.Context) (interface{}, error)")
	require.Contains(t, out, "Cast(ctx context.Context) (time.Time, error)")
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	require.True(t, fs.ValidPath(name))
	name = filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
}
