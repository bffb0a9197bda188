// Package screen runs programs on a terminal, for tests of what they show there. It
// needs script, of util-linux.
package screen

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Screen is a program on a terminal.
type Screen struct {
	t    testing.TB
	cmd  *exec.Cmd
	keys io.WriteCloser

	mu    sync.Mutex // It guards the fields below.
	more  *sync.Cond
	text  bytes.Buffer
	ended bool
}

// Start runs a shell command on a terminal of its own, with more variables in its
// environment.
func Start(t testing.TB, command string, variables ...string) *Screen {
	t.Helper()
	s := &Screen{t: t, cmd: exec.CommandContext(t.Context(), "script", "-qefc", command, os.DevNull)}
	s.more = sync.NewCond(&s.mu)
	s.cmd.Env = append(append(os.Environ(), "TERM=xterm", "SHELL=/bin/sh", "GOCOVERDIR="+t.TempDir()), variables...)
	var err error
	s.keys, err = s.cmd.StdinPipe()
	require.NoError(t, err)
	s.cmd.Stdout = s
	require.NoError(t, s.cmd.Start())
	go func() {
		_ = s.cmd.Wait() // its exit code tells
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = true
		s.more.Broadcast()
	}()
	return s
}

// Write implements io.Writer, for what the program shows.
func (s *Screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.more.Broadcast()
	return s.text.Write(text)
}

// Wait waits until the screen has shown what matches.
func (s *Screen) Wait(pattern string) {
	s.t.Helper()
	wanted := regexp.MustCompile(pattern)
	s.mu.Lock()
	defer s.mu.Unlock()
	for !wanted.Match(s.text.Bytes()) {
		require.False(s.t, s.ended, "it ended without %s: %q", pattern, s.text.String())
		s.more.Wait()
	}
}

// Type types keys.
func (s *Screen) Type(keys string) {
	s.t.Helper()
	_, err := io.WriteString(s.keys, keys)
	require.NoError(s.t, err)
}

// Interrupt presses Ctrl-C.
func (s *Screen) Interrupt() {
	s.t.Helper()
	s.Type("\x03")
}

// End waits for the program's end, and returns its exit code and all that was written
// to the terminal.
func (s *Screen) End() (code int, written string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.ended {
		s.more.Wait()
	}
	return s.cmd.ProcessState.ExitCode(), s.text.String()
}

var moves = regexp.MustCompile(`\r\x1b\[K(\x1b\[\?7l[^\x1b]*\x1b\[\?7h)?`)

// Left is what stays of what was written, when a line is written over. It fails the
// test if something else than that is done to the terminal, such as colouring it.
func Left(t testing.TB, written string) string {
	t.Helper()
	left := strings.ReplaceAll(moves.ReplaceAllString(written, ""), "\r\n", "\n")
	require.NotContains(t, left, "\x1b")
	return left
}
