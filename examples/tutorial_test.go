// Package examples_test follows the tutorial.
package examples_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// block is a fenced piece of the tutorial. An excerpt's file is not shown as a whole.
type block struct {
	language, file, text string
	excerpt              bool
}

// blocks reads the tutorial, which lies in the repository that the module is replaced
// by, also when the examples do not.
func blocks(t *testing.T) (repository string, all []block) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/sqlane/sqlane").Output()
	require.NoError(t, err)
	repository = strings.TrimSpace(string(out))
	text, err := os.ReadFile(filepath.Join(repository, "docs", "tutorial.md"))
	require.NoError(t, err)
	for _, fenced := range regexp.MustCompile("(?ms)^```(\\w+)(?: (\\S+))?( …)?\n(.*?\n)```$").FindAllStringSubmatch(string(text), -1) {
		all = append(all, block{fenced[1], fenced[2], fenced[4], fenced[3] != ""})
	}
	require.Equal(t, strings.Count(string(text), "```"), 2*len(all), "a block is not what a block looks like")
	return repository, all
}

func TestTheTutorialShowsTheFilesAsTheyAre(t *testing.T) {
	_, all := blocks(t)
	shown := map[string][]string{}
	for _, b := range all {
		if b.file == "" {
			continue
		}
		file, err := os.ReadFile(filepath.Join("tasks", b.file))
		require.NoError(t, err)
		require.Contains(t, "\n"+string(file), "\n"+b.text, b.file)
		if !b.excerpt {
			shown[b.file] = append(shown[b.file], b.text)
		}
	}
	for name, texts := range shown {
		file, err := os.ReadFile(filepath.Join("tasks", name))
		require.NoError(t, err)
		require.Equal(t, string(file), strings.Join(texts, "\n"), name)
	}
	require.NoError(t, filepath.WalkDir("tasks", func(path string, entry os.DirEntry, err error) error {
		name, _ := filepath.Rel("tasks", path)
		written := err == nil && !entry.IsDir() && filepath.Dir(name) != "gen" && name != filepath.Join("store", "store_gen.go")
		if written && (filepath.Dir(name) == "store" || !strings.HasSuffix(name, "_test.go")) {
			require.Contains(t, shown, filepath.ToSlash(name))
		}
		return err
	}))
}

func TestTheTutorialWorksInAnEmptyDirectory(t *testing.T) {
	repository, all := blocks(t)
	dir := t.TempDir()
	// The modules under test stand in for the published ones, and the pinned sqlc for
	// the download of the same version.
	sums, err := os.ReadFile("go.sum")
	require.NoError(t, err)
	versions, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(versions), "\nmodule example.org\n")
	here := "module example.org/tasks\n" + strings.ReplaceAll(rest, "=> ../", "=> "+repository+"/")
	const sqlc = "go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1"
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	command := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", args, out)
		return string(out)
	}

	whole := map[string]string{}
	var url, answer string
	commands := 0
	for _, b := range all {
		switch {
		case b.excerpt:
		case b.file != "":
			if whole[b.file] != "" {
				whole[b.file] += "\n"
			}
			whole[b.file] += b.text
			write(b.file, strings.ReplaceAll(whole[b.file], sqlc, "go tool -modfile="+repository+"/tools/go.mod sqlc"))
		case b.language == "json":
			require.JSONEq(t, b.text, answer)
			answer = ""
		default:
			for line := range strings.Lines(b.text) {
				commands++
				line = strings.TrimSpace(line)
				curl := regexp.MustCompile(`^curl -d '(.*)' http://localhost:8080(/\S*)$`).FindStringSubmatch(line)
				switch {
				case strings.HasPrefix(line, "go get "):
					require.Contains(t, command("go", "mod", "edit", "-print"), "module example.org/tasks\n")
					write("go.mod", here)
					write("go.sum", string(sums))
				case line == "go run .":
					program := filepath.Join(t.TempDir(), "program")
					command("go", "build", "-o", program, ".")
					url = start(t, dir, program)
				case curl != nil:
					require.NotEmpty(t, url)
					got, err := http.Post(url+curl[2], "application/x-www-form-urlencoded", strings.NewReader(curl[1]))
					require.NoError(t, err)
					text, err := io.ReadAll(got.Body)
					require.NoError(t, err)
					answer = string(text)
				default:
					args := strings.Fields(line)
					require.Equal(t, "go", args[0], line)
					command(args[0], args[1:]...)
				}
			}
		}
	}
	require.NotEmpty(t, url)
	require.Positive(t, commands)
	require.Empty(t, answer, "an answer is not told")

	for _, name := range []string{"store/store_gen.go", "gen/db.go", "gen/models.go", "gen/querier.go", "gen/queries.sql.go"} {
		want, err := os.ReadFile(filepath.Join("tasks", name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%s is not what is committed", name)
	}
}

// start runs the program until the end of the test, which interrupts it.
func start(t *testing.T, dir, program string) (url string) {
	t.Helper()
	cmd := exec.Command(program, "-addr", "localhost:0")
	cmd.Dir = dir
	out, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	log := bufio.NewReader(out)
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		rest, _ := io.ReadAll(log)
		require.NoError(t, cmd.Wait(), string(rest))
	})
	for said := (bytes.Buffer{}); ; {
		line, err := log.ReadString('\n')
		said.WriteString(line)
		require.NoError(t, err, said.String())
		if _, url, ok := strings.Cut(strings.TrimSpace(line), " url="); ok {
			return url
		}
	}
}
