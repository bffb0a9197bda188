package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test's own executable be the program, race detector included.
func TestMain(m *testing.M) {
	if os.Getenv("TASKS_IS_THE_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start runs the program as a process, until stop, which waits for its orderly end.
func start(t *testing.T, args ...string) (url string, stop func()) {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "TASKS_IS_THE_PROGRAM=1")
	out, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	log := bufio.NewReader(out)
	var said strings.Builder
	for url == "" {
		line, err := log.ReadString('\n')
		require.NoError(t, err, said.String())
		said.WriteString(line)
		if found := regexp.MustCompile(`url=(\S+)`).FindStringSubmatch(line); found != nil {
			url = found[1]
		}
	}
	rest := make(chan string)
	go func() {
		text, _ := io.ReadAll(log)
		rest <- string(text)
	}()
	return url, func() {
		t.Helper()
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		text := <-rest
		require.NoError(t, cmd.Wait(), text)
		require.Contains(t, text, "shutting down")
	}
}

func TestTheProgramEndsInOrderAndFindsItsTasksAgain(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "tasks.db")
	url, stop := start(t, "-addr", "localhost:0", "-db", db)
	answer, err := http.Get(url + "/healthz")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.StatusCode)
	answer, err = http.Post(url+"/api/tasks", "application/json", strings.NewReader(`{"title":"tea"}`))
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, answer.StatusCode)
	live, err := http.Get(url + "/live")
	require.NoError(t, err)
	stop()
	_, err = io.ReadAll(live.Body)
	require.NoError(t, err, "a live page is ended, not cut off")
	files, err := filepath.Glob(db + "*")
	require.NoError(t, err)
	require.Equal(t, []string{db}, files, "the database is one file again")

	url, stop = start(t, "-addr", "localhost:0", "-db", db)
	defer stop()
	answer, err = http.Get(url + "/api/tasks")
	require.NoError(t, err)
	list, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.JSONEq(t, `{"open":[{"id":1,"title":"tea","done":false}],"done":[]}`, string(list))
}

func TestAnArgumentThatIsNoneOfItsOwnIsNamed(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), program, "extra")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "TASKS_IS_THE_PROGRAM=1")
	said, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, 2, cmd.ProcessState.ExitCode())
	require.Equal(t, "tasks takes no \"extra\"; tasks -help tells what it takes\n", string(said))
	made, err := os.ReadDir(cmd.Dir)
	require.NoError(t, err)
	require.Empty(t, made)
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	url, stop := start(t, "-addr", "localhost:0", "-db", filepath.Join(t.TempDir(), "tasks.db"))
	defer stop()
	_, taken, _ := strings.Cut(url, "://")
	require.ErrorIs(t, run(t.Context(), taken, filepath.Join(t.TempDir(), "tasks.db"), nil), syscall.EADDRINUSE)

	nowhere := filepath.Join(t.TempDir(), "nowhere", "tasks.db")
	require.ErrorContains(t, run(t.Context(), "localhost:0", nowhere, nil), nowhere)

	other := filepath.Join(t.TempDir(), "other.db")
	require.NoError(t, os.WriteFile(other, []byte(strings.Repeat("not a database. ", 100)), 0o600))
	require.ErrorContains(t, run(t.Context(), "localhost:0", other, nil), "not a database")
}
