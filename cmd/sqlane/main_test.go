package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/stretchr/testify/require"
)

// asProgram has the test binary be sqlane.
const asProgram = "SQLANE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		main()
	}
	// Projects that tests begin are in no workspace, and nothing is given to Go's commands.
	for name, value := range map[string]string{"GOWORK": "off", "GOFLAGS": ""} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	rounds.Together(8)
	os.Exit(m.Run())
}

// sqlane runs the program.
func sqlane(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

// put writes a file and the directories above it.
func put(t *testing.T, text string, elements ...string) string {
	t.Helper()
	name := filepath.Join(elements...)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	return name
}

// tree is every entry below a directory, with its content and its time.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[name] = info.Mode().String()
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(name)
			all[name] += info.ModTime().String() + string(text)
			return err
		}
		return nil
	}))
	return all
}

func TestWrongUsageIsOneLineAndExitCodeTwo(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "a command is missing"},
		{[]string{"paint"}, `there is no command "paint"`},
		{[]string{"init"}, "init needs DIR"},
		{[]string{"doctor"}, "doctor needs DB"},
		{[]string{"check", ""}, "check needs DIR"},
		{[]string{"doctor", "a", "b"}, `doctor does not take "b"`},
		{[]string{"check", "-module", "m"}, "check takes no -module"},
		{[]string{"doctor", "a", "-sqlc", "sqlc"}, "doctor takes no -sqlc"},
		{[]string{"-nope"}, "flag provided but not defined: -nope"},
		{[]string{"init", t.TempDir(), "-module", "no path"}, `-module "no path" is no path of a module`},
		{[]string{"init", filepath.Join(t.TempDir(), "two words")}, `"example.org/two words" is no path of a module; give one with -module`},
	} {
		code, stdout, stderr := sqlane(t, c.args...)
		require.Equal(t, misused, code, c.args)
		require.Empty(t, stdout)
		require.Equal(t, "sqlane: "+c.says, strings.TrimSuffix(stderr, "; sqlane -help tells more\n"))
	}
}

func TestHelpIsAnswerAndNoFailure(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}, {"init", "-help"}} {
		code, stdout, stderr := sqlane(t, args...)
		require.Equal(t, done, code)
		require.Empty(t, stderr)
		for _, c := range commands() {
			require.Contains(t, stdout, "\n  "+c.name+" "+c.arg+" ")
		}
	}
}

func TestAnInterruptedRunSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"doctor", database(t, "CREATE TABLE t (id INTEGER PRIMARY KEY)")}, {"check", planned(t, simple), "-sqlc", "go"}} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, interrupted, run(ctx, args, &stdout, &stderr), args)
		require.Equal(t, "sqlane: interrupted\n", stderr.String())
		require.Empty(t, stdout.String())
	}
}

func TestNothingThatIsPrintedCommandsTheTerminal(t *testing.T) {
	code, _, stderr := sqlane(t, "doctor", "no\x1b[31m\nsuch")
	require.Equal(t, failed, code)
	require.Equal(t, `sqlane: there is no file no\x1b[31m\nsuch`+"\n", stderr)
}

// TestTheModuleCanBeRunFromOutside: go run PACKAGE@VERSION refuses a module whose
// go.mod has directives that count for itself alone.
func TestTheModuleCanBeRunFromOutside(t *testing.T) {
	text, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	require.NotContains(t, string(text), "replace")
	require.NotContains(t, string(text), "exclude")
	require.Contains(t, string(text), "\ngo "+goVersion)
}
