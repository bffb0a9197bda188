// Package sqlane_test runs what README.md says.
package sqlane_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// block is a fenced piece of a document.
type block struct{ language, file, text string }

func blocks(t *testing.T, document string) (all []block) {
	t.Helper()
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	var open *block
	indent := ""
	for line := range strings.Lines(string(text)) {
		fence := strings.TrimLeft(line, " ")
		switch {
		case open == nil && strings.HasPrefix(fence, "```"):
			language, file, _ := strings.Cut(strings.TrimSpace(fence[3:]), " ")
			open, indent = &block{language: language, file: file}, line[:len(line)-len(fence)]
		case open != nil && strings.HasPrefix(fence, "```"):
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent)
		}
	}
	require.Nil(t, open, "a fence is not closed")
	return all
}

func command(t *testing.T, dir, line string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestTheREADMEsOwnSchemaWorksStepByStep(t *testing.T) {
	root, err := filepath.Abs(".")
	require.NoError(t, err)
	dir := t.TempDir()
	// The module under test stands in for the published one, and the pinned
	// sqlc for the download of the same version.
	const get, sqlc = "go get github.com/sqlane/sqlane", generator
	here := "go mod edit -require github.com/sqlane/sqlane@v0.0.0 -replace github.com/sqlane/sqlane=" + root + " && cp " + root + "/go.sum ."
	tools, err := os.ReadFile("tools/go.mod")
	require.NoError(t, err)
	require.Contains(t, string(tools), "github.com/sqlc-dev/sqlc v1.31.1 ", "the README names the version that is pinned")

	var commands, files int
	for _, b := range blocks(t, "README.md") {
		switch {
		case b.file != "":
			files++
			path := filepath.Join(dir, b.file)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(b.text, sqlc, pinned(root))), 0o644))
		case b.language == "sh" && strings.HasPrefix(b.text, "make "):
			out, err := command(t, root, "make -n "+strings.TrimPrefix(b.text, "make "))
			require.NoError(t, err, out)
		case b.language == "sh":
			for line := range strings.Lines(b.text) {
				commands++
				out, err := command(t, dir, strings.Replace(line, get, here, 1))
				require.NoError(t, err, "%s%s", line, out)
				if strings.HasPrefix(line, "go run .") {
					require.Equal(t, "2 notes\n", out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:])
				}
			}
		}
	}
	require.Equal(t, 8, files)
	require.Equal(t, 6, commands)
	out, err := command(t, dir, "go run .")
	require.Error(t, err)
	require.Contains(t, out, "exists already")
}

func TestTheMapOfTheHouseNamesEveryFolder(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "build" && e.Name() != "cmd" {
			require.Contains(t, string(text), "| `"+e.Name()+"/`", e.Name())
		}
	}
}
