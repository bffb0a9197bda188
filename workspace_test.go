package sqlane_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheWorkspaceChangesNoVersionOfTheProduct: go.work builds all its modules
// with the highest version that any of them asks for.
func TestTheWorkspaceChangesNoVersionOfTheProduct(t *testing.T) {
	root, err := filepath.Abs("go.work")
	require.NoError(t, err)
	versions := func(workspace string) map[string]string {
		cmd := exec.CommandContext(t.Context(), "go", "list", "-f", "{{with .Module}}{{.Path}} {{.Version}}{{end}}", "-deps", "-test", "./...")
		cmd.Env = append(os.Environ(), "GOWORK="+workspace)
		out, err := cmd.Output()
		require.NoError(t, err)
		all := map[string]string{}
		for line := range strings.Lines(string(out)) {
			path, version, _ := strings.Cut(strings.TrimSpace(line), " ")
			all[path] = version
		}
		return all
	}
	alone := versions("off")
	require.Contains(t, alone, "modernc.org/sqlite")
	require.Equal(t, alone, versions(root))
}
