package cluster

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWhatCouldNotBeWrittenIsWrittenTheNextTime: a node that could not write down that it is a
// member would take a lost log for that of a new node, when it is started again.
func TestWhatCouldNotBeWrittenIsWrittenTheNextTime(t *testing.T) {
	f, err := openFolder(t.TempDir())
	require.NoError(t, err)
	defer f.close()
	n := &node{folder: f, self: identity{ID: 7, Address: "here:1", State: stateNew}}
	require.NoError(t, n.remember())
	known, err := f.identity()
	require.NoError(t, err)
	require.Nil(t, known, "it has no log yet")

	require.NoError(t, os.WriteFile(filepath.Join(f.path, "metadata1"), nil, 0o600))
	inTheWay := filepath.Join(f.path, identityFile+".new")
	require.NoError(t, os.Mkdir(inTheWay, 0o700))
	for range 2 {
		require.ErrorContains(t, n.remember(), identityFile)
	}
	require.NoError(t, os.Remove(inTheWay))
	require.NoError(t, n.remember())
	known, err = f.identity()
	require.NoError(t, err)
	require.Equal(t, &identity{ID: 7, Address: "here:1", State: stateMember}, known)
}
