//go:build linux

package terminal

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/terminal/screen"
	"github.com/stretchr/testify/require"
)

func TestATerminalShowsWhatIsBeingDoneAndIsLeftAsItWas(t *testing.T) {
	t.Parallel()
	s := screen.Start(t, os.Args[0], asProgram+"=1")
	s.Wait(`counting\\n \.\.\. \d+s`)
	s.Type("seven\n")
	code, written := s.End()
	require.Zero(t, code)
	require.Equal(t, "seven\nfound seven true\n", screen.Left(t, written))
}

func TestADumbTerminalAndAPipeShowNothing(t *testing.T) {
	t.Parallel()
	s := screen.Start(t, os.Args[0], asProgram+"=1", "TERM=dumb")
	s.Type("seven\n")
	_, written := s.End()
	require.Equal(t, "seven\nfound seven false\n", strings.ReplaceAll(written, "\r\n", "\n"))

	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asProgram+"=1", "GOCOVERDIR="+t.TempDir())
	cmd.Stdin = strings.NewReader("seven\n")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "found seven false\n", string(out))
}
