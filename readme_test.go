// Package sqlane_test looks at the project as a whole.
package sqlane_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

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
