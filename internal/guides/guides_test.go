package guides

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const guide = "# A guide: its `code`\n\ntext [a](b.md#c) and `[no](link)`\n\n1. list\n\n   ```go a.go\n   package a\n   \tvar x int\n   ```\n\n```go\nx := 1\n```\n## Twice\n![i](p(1).svg)\n## Twice\n"

func TestAGuideIsBlocksAndProse(t *testing.T) {
	blocks, prose, err := Split(guide)
	require.NoError(t, err)
	require.Equal(t, []Block{{"go", "a.go", "package a\n\tvar x int\n", 7}, {"go", "", "x := 1\n", 12}}, blocks)
	require.Equal(t, []Link{{"b.md#c", 3}, {"p(1).svg", 16}}, Links(prose))
	require.Equal(t, map[string]bool{"a-guide-its-code": true, "twice": true, "twice-1": true}, Anchors(prose))
	_, _, err = Split("a\n```go\n")
	require.EqualError(t, err, "the block of line 2 is not closed")
}

// told is a test that is told of its failures.
type told struct {
	testing.TB
	failed bool
}

func (t *told) Helper()               {}
func (t *told) Errorf(string, ...any) { t.failed = true }

func TestWhatAGuideShowsMustStandInItsTestFile(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	name := put("a.md", guide)
	require.Equal(t, "package a\n\tvar x int\n", string(Files(t, name)["a.go"].Data))
	for text, failed := range map[string]bool{
		"package x\n\nfunc f() {\n\tx := 1\n}\n":  false,
		"package x\n\nfunc f() {\n\tx := 12\n}\n": true,
		"package x\n\nfunc f() {\n\tyx := 1\n}\n": true,
	} {
		of := told{TB: t}
		Shown(&of, name, put("a_test.go", text))
		require.Equal(t, failed, of.failed, text)
	}
	of := told{TB: t}
	Shown(&of, put("b.md", "no code\n"), name)
	require.True(t, of.failed)
}
