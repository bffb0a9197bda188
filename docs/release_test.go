package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/guides"
	"github.com/stretchr/testify/require"
)

// TestWhatIsNoLongerCompatibleWithTheLastReleaseIsFound tries the release check on a
// module of its own.
func TestWhatIsNoLongerCompatibleWithTheLastReleaseIsFound(t *testing.T) {
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	dir := t.TempDir()
	put := func(name, text string) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o755))
	}
	run := func(line string) (string, error) {
		return guides.Run(t, dir, "export GOFLAGS=; "+line)
	}
	check := func(ok bool, says string) {
		t.Helper()
		out, err := run(".ci/release-check")
		require.Equal(t, ok, err == nil, out)
		require.Contains(t, out, says)
	}
	for _, name := range []string{".ci/release-check", "tools/go.mod", "tools/go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		put(name, string(text))
	}
	const lease = "package pool\n\n// Release gives it back.\nfunc Release() {}\n"
	put("go.mod", "module example.org/lanes\n\ngo 1.26\n")
	put("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\n## [0.1.0]\n\n- `pool.Release`\n")
	put("pool/pool.go", lease)
	put("otel/go.mod", "module example.org/lanes/otel\n\ngo 1.26\n")
	put("otel/otel.go", "package otel\n\nfunc Observe() {}\n")
	check(true, "there is no release yet")

	const git = "git -c user.name=x -c user.email=x@example.org -c commit.gpgsign=false -c tag.gpgsign=false "
	out, err := run("git init -q && " + git + "add -A && " + git + "commit -qm first && " + git + "tag v0.1.0")
	require.NoError(t, err, out)
	check(true, "what v0.1.0 exports is there as it was")
	put("pool/more.go", "package pool\n\n// More is new.\nfunc More() {}\n")
	check(true, "what v0.1.0 exports is there as it was")

	put("pool/pool.go", strings.Replace(lease, "Release() {}", "Release(int) {}", 1))
	check(false, "- ./pool.Release: changed from func() to func(int)")
	check(false, "CHANGELOG.md does not name `pool.Release` under Unreleased")
	put("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\n### Changed\n\n- `pool.Release` takes a number.\n\n## [0.1.0]\n")
	check(true, "- ./pool.Release: changed")

	put("otel/otel.go", "package otel\n\nfunc Observe(int) {}\n")
	check(false, "- ./otel.Observe: changed from func() to func(int)")
	check(false, "CHANGELOG.md does not name `otel.Observe` under Unreleased")
	put("otel/otel.go", "package otel\n\nfunc Observe() {}\n")

	out, err = run(git + "tag -d v0.1.0 && " + git + "tag v1.0.0")
	require.NoError(t, err, out)
	check(false, "that takes a new major version")
	put("pool/pool.go", "package pool\n\nfunc broken( {\n")
	check(false, "apidiff failed")
}
