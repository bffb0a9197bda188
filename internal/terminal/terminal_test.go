package terminal

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// asProgram has the test binary show a line until it is interrupted or told to end.
const asProgram = "SQLANE_TEST_TERMINAL"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		program()
		os.Exit(0) // and nothing of a test's is told
	}
	goleak.VerifyTestMain(m)
}

// program does something until a line is typed.
func program() {
	line := NewLine(os.Stderr)
	line.Doing("counting\n")
	var word string
	_, _ = fmt.Scanln(&word)
	fmt.Fprintln(line.Above(os.Stdout), "found", word, IsScreen(os.Stderr))
	line.Stop()
}

// onScreen tells of the first thing shown.
type onScreen struct {
	bytes.Buffer
	shown chan struct{}
}

func (s *onScreen) Write(text []byte) (int, error) {
	n, err := s.Buffer.Write(text)
	select {
	case s.shown <- struct{}{}:
	default:
	}
	return n, err
}

func TestWhatTakesLongIsShownAndGoesBeforeALine(t *testing.T) {
	s := &onScreen{shown: make(chan struct{}, 1)}
	var out bytes.Buffer
	line := NewLine(s)
	line.Watch(func() string { return "counting\x1b" })
	line.show(0, 1)
	<-s.shown
	_, err := line.Above(&out).Write([]byte("found\n"))
	require.NoError(t, err)
	line.Stop()
	line.Stop() // harmless
	require.Equal(t, "found\n", out.String())
	require.Regexp(t, `^\r\x1b\[K\x1b\[\?7lcounting\\x1b \.\.\. \d+s\x1b\[\?7h`, s.String())
	require.True(t, strings.HasSuffix(s.String(), "\r\x1b[K"), s.String())
}

func TestNothingIsShownInAPipeNorBeforeItHasTakenLong(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	line := NewLine(w)
	require.Nil(t, line.quit)
	require.False(t, IsScreen(w))

	var out bytes.Buffer
	line = NewLine(&out)
	line.Doing("something short")
	line.draw(patience * 1000)
	line.Stop()
	line.draw(0) // nothing is being done
	require.Empty(t, out.String())
}
