package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// built is the path of a program of the main module.
func built(t *testing.T, name string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/sqlane/sqlane/cmd/"+name).CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}

// said is what fileindex prints of a run of index.
type said struct {
	Files, Directories, Added, Unchanged int64
}

func TestFileindexGoesOnWhenTheLeaderIsKilled(t *testing.T) {
	t.Parallel()
	c := start(t)
	addresses := strings.Join(c.Addresses(), ",")
	fileindex, sqlane := built(t, "fileindex"), built(t, "sqlane")
	goRoot, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	tree := filepath.Join(strings.TrimSpace(string(goRoot)), "src", "cmd")
	run := func(name string, args ...string) (code int, stdout string, stderr string) {
		var out, errs bytes.Buffer
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run()
		return cmd.ProcessState.ExitCode(), out.String(), errs.String()
	}
	on := []string{"-cluster", addresses, "-plaintext", "-json"}
	index := func() (s said) {
		code, stdout, stderr := run(fileindex, append(on, "index", tree)...)
		require.Zero(t, code, stderr)
		var all []said
		require.NoError(t, json.Unmarshal([]byte(stdout), &all))
		return all[0]
	}
	code, _, stderr := run(fileindex, append(on, "index", t.TempDir())...)
	require.Zero(t, code, stderr)

	// It is killed when the run has begun to write.
	watch := exec.CommandContext(t.Context(), fileindex, append(on, "watch", tree)...)
	watch.Stderr = os.Stderr
	lines, err := watch.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, watch.Start())
	changes := bufio.NewScanner(lines)
	killed := make(chan error, 1)
	go func() {
		for changes.Scan() {
			var now said
			if json.Unmarshal(changes.Bytes(), &now) == nil && now.Files > 100 {
				leader, err := c.Leader(t.Context())
				c.Kill(leader)
				killed <- err
				break
			}
		}
		for changes.Scan() { // until it ends
		}
	}()
	first := index()
	require.NoError(t, <-killed)
	require.Equal(t, first.Files+first.Directories, first.Added)
	require.Equal(t, said{first.Files, first.Directories, 0, first.Added}, index())
	require.NoError(t, watch.Process.Signal(os.Interrupt))
	require.Error(t, watch.Wait())
	require.Equal(t, 130, watch.ProcessState.ExitCode(), "it went on, too")

	code, stdout, stderr := run(sqlane, "cluster", "status", addresses, "-plaintext")
	require.Equal(t, 1, code, stderr)
	require.Contains(t, stdout, "does not answer: connection refused")
	require.Contains(t, stdout, "fact: 2 of 3 voters follow the leader, and 2 have to: no more may fail")
}
