package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/require"
)

// redirect is the machine to which a failed write belongs; "" if it failed for another reason.
func redirect(mount string, err error) string {
	const refused = 778 // SQLITE_IOERR_WRITE, which a broken disk gives too
	if code, ok := pool.Code(err); !ok || code != refused {
		return ""
	}
	host, _ := os.ReadFile(filepath.Join(mount, ".primary")) // it is not there on the primary, nor while there is none
	return strings.TrimSpace(string(host))
}

// TestAWriteThatAReplicaRefusesIsSentToThePrimary has a disk that takes no pages stand
// in for LiteFS, which refuses them with the same error.
func TestAWriteThatAReplicaRefusesIsSentToThePrimary(t *testing.T) {
	p, mount := open(t, pooltest.File()), t.TempDir()
	require.NoError(t, put(t.Context(), p.Writer(), "ann", 1))
	pooltest.Fail(t, p, pooltest.IOError(1))
	err := put(t.Context(), p.Writer(), "ann", 1)
	require.Error(t, err)
	require.Empty(t, redirect(mount, err), "this is the primary")

	require.NoError(t, os.WriteFile(filepath.Join(mount, ".primary"), []byte("a\n"), 0o600))
	require.Equal(t, "a", redirect(mount, err))
	require.Empty(t, redirect(mount, put(t.Context(), p.Reader(), "ann", 1)), "that is an error on every machine")
	require.Equal(t, 11, balance(t, p, "ann"))
	pooltest.Heal(t, p)
	require.NoError(t, put(t.Context(), p.Writer(), "ann", 1))
}
