package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/guides"
	"github.com/stretchr/testify/require"
)

func TestTheREADMEsCommandsAreTargetsAndItsLinesThoseOfTheProject(t *testing.T) {
	project := guides.Files(t, "start.md")
	notes := strings.ReplaceAll(string(project["notes.go"].Data), "\n\t", "\n")
	blocks, _ := guides.Read(t, "../README.md")
	targets, lines := 0, 0
	for _, b := range blocks {
		switch b.Language {
		case "sh":
			targets++
			target, ok := strings.CutPrefix(b.Text, "make ")
			require.True(t, ok, b.Text)
			out, err := guides.Run(t, "..", "make -n "+target)
			require.NoError(t, err, out)
		case "go":
			lines++
			require.Contains(t, notes, b.Text)
		}
	}
	require.Equal(t, 2, targets)
	require.Equal(t, 1, lines)
}

func TestAProjectIsMadeStepByStep(t *testing.T) {
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	dir := t.TempDir()
	// The module under test stands in for the published one, and the pinned
	// sqlc for the download of the same version.
	const get, sqlc = "go get github.com/sqlane/sqlane", generator
	here := "go mod edit -require github.com/sqlane/sqlane@v0.0.0 -replace github.com/sqlane/sqlane=" + root + " && cp " + root + "/go.sum ."
	tools, err := os.ReadFile("../tools/go.mod")
	require.NoError(t, err)
	require.Contains(t, string(tools), "github.com/sqlc-dev/sqlc v1.31.1 ", "the guide names the version that is pinned")

	var commands, files int
	blocks, _ := guides.Read(t, "start.md")
	for _, b := range blocks {
		switch {
		case b.File != "":
			files++
			path := filepath.Join(dir, b.File)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(b.Text, sqlc, pinned(t, "sqlc"))), 0o644))
		case b.Language == "sh":
			for line := range strings.Lines(b.Text) {
				commands++
				out, err := guides.Run(t, dir, strings.Replace(line, get, here, 1))
				require.NoError(t, err, "%s%s", line, out)
				if strings.HasPrefix(line, "go run .") {
					require.Equal(t, "2 notes\n", out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:])
				}
			}
		}
	}
	require.Equal(t, 7, files)
	require.Equal(t, 6, commands)
	out, err := guides.Run(t, dir, "go run .")
	require.Error(t, err)
	require.Contains(t, out, "exists already")
}
