package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatInitWritesIsWhatTheGuideSays(t *testing.T) {
	text, err := os.ReadFile("../../docs/start.md")
	require.NoError(t, err)
	flat := regexp.MustCompile(`(?m)^   `).ReplaceAllString(string(text), "") // of what stands in a list
	files, err := projectFiles()
	require.NoError(t, err)
	require.Len(t, files, 7)
	for _, f := range files {
		block := " " + f.name + "\n" + f.text + "```\n"
		require.True(t, strings.Contains(string(text), block) || strings.Contains(flat, block), f.name)
	}
	require.True(t, strings.Contains(string(text), "go run github.com/sqlane/sqlane/cmd/sqlane@latest init "))
}

func TestAProjectHasTheModuleOfItsDirectory(t *testing.T) {
	dir := t.TempDir()
	put(t, "// module not.this\n\nmodule example.com/app/v2 // an app\n\ngo 1.26\n", dir, "app", "go.mod")
	put(t, "module \"example.com/quoted\"\n", dir, "quoted", "go.mod")
	for _, c := range []struct {
		args   []string
		module string
		made   bool
	}{
		{[]string{filepath.Join(dir, "shop")}, "example.org/shop", true},
		{[]string{"-module", "example.com/a/b", filepath.Join(dir, "two words")}, "example.com/a/b", true},
		{[]string{filepath.Join(dir, "app")}, "example.com/app/v2", false},
		{[]string{filepath.Join(dir, "app", "internal", "notes")}, "example.com/app/v2/internal/notes", false},
		{[]string{filepath.Join(dir, "quoted")}, "example.com/quoted", false},
	} {
		code, stdout, stderr := sqlane(t, append([]string{"init"}, c.args...)...)
		require.Equal(t, done, code, stderr)
		at := c.args[len(c.args)-1]
		for _, name := range []string{"main.go", "notes.go", "notes_test.go"} {
			text, err := os.ReadFile(filepath.Join(at, name))
			require.NoError(t, err)
			require.Contains(t, string(text), `"`+c.module+`/store"`)
			require.NotContains(t, string(text), placeholder)
			require.Contains(t, stdout, filepath.Join(at, name)+"\n")
		}
		require.Equal(t, c.made, strings.Contains(stdout, filepath.Join(at, "go.mod")+"\n"))
		if c.made {
			text, err := os.ReadFile(filepath.Join(at, "go.mod"))
			require.NoError(t, err)
			require.Equal(t, "module "+c.module+"\n\ngo "+goVersion+"\n", string(text))
		}
	}
	code, _, stderr := sqlane(t, "init", filepath.Join(dir, "app", "more"), "-module", "example.com/m")
	require.Equal(t, misused, code)
	require.Contains(t, stderr, "is in the module of "+filepath.Join(dir, "app", "go.mod")+" already")
	code, _, stderr = sqlane(t, "init", filepath.Join(dir, "app", "two words"))
	require.Equal(t, failed, code)
	require.Contains(t, stderr, `"example.com/app/v2/two words" is no import path`)
	put(t, "go 1.26\n", dir, "nameless", "go.mod")
	code, _, stderr = sqlane(t, "init", filepath.Join(dir, "nameless"))
	require.Equal(t, failed, code)
	require.Contains(t, stderr, "names no module")
}

func TestInitWritesOverNothingAndThenNothing(t *testing.T) {
	dir := t.TempDir()
	put(t, "mine", dir, "files", "main.go")
	put(t, "mine", dir, "files", "schema", "00001_notes.sql")
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "files", "queries.sql")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "files", "sqlc.yaml"), 0o755))
	put(t, "a file where a directory is needed", dir, "parent", "store")
	put(t, "a file", dir, "file")
	for at, names := range map[string][]string{
		"files":  {"main.go", "schema/00001_notes.sql", "queries.sql", "sqlc.yaml"},
		"parent": {"store"},
		"file":   {""},
	} {
		before := tree(t, dir)
		code, stdout, stderr := sqlane(t, "init", filepath.Join(dir, at))
		require.Equal(t, failed, code)
		require.Empty(t, stdout)
		require.True(t, strings.HasPrefix(stderr, "sqlane: nothing is written, for there is already "+filepath.Join(dir, at)), stderr)
		require.Equal(t, 1, strings.Count(stderr, "\n"))
		for _, name := range names {
			require.Contains(t, stderr, filepath.Join(dir, at, name))
		}
		require.NotContains(t, stderr, "notes.go", "it names what is in the way alone")
		require.Equal(t, before, tree(t, dir))
	}
}

func TestAProjectThatCannotBeWrittenIsTakenAwayAgain(t *testing.T) {
	dir := t.TempDir()
	put(t, "mine", dir, "there", "go.sum")
	before := tree(t, dir)
	for _, bad := range []string{strings.Repeat("n", 300), strings.Repeat("d", 300) + "/f", "there/go.sum"} {
		err := writeAll(dir, []file{{"there/a.go", "a"}, {"new/deep/b.go", "b"}, {bad, "c"}})
		require.Error(t, err)
		require.Equal(t, before, tree(t, dir))
	}
}

func TestTheNextCommandsAreForThisVersionAndAnyShell(t *testing.T) {
	require.Equal(t, "cd app/notes", next("app/notes", "latest")[0])
	require.Equal(t, `cd 'it'\''s here'`, next("it's here", "latest")[0])
	require.Equal(t, "go get github.com/sqlane/sqlane@v1.2.3", next(".", "v1.2.3")[0])
	for v, want := range map[string]string{"v1.2.3": "v1.2.3", "(devel)": "latest", "": "latest", "v0.0.0-20260101000000-0123456789ab+dirty": "latest"} {
		require.Equal(t, want, versionOf(&debug.BuildInfo{Main: debug.Module{Path: product, Version: v}}))
	}
	require.Equal(t, "latest", versionOf(&debug.BuildInfo{Main: debug.Module{Path: "example.org/other", Version: "v1.2.3"}}))
}
