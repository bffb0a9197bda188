package docs

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/guides"
	"github.com/stretchr/testify/require"
)

// markdown are all of the project's texts, by their names from its root.
func markdown(t *testing.T) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != ".." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"build", "testdata", "node_modules"}, d.Name())) {
			return fs.SkipDir
		}
		if strings.HasSuffix(name, ".md") {
			names = append(names, name)
		}
		return nil
	}))
	require.Greater(t, len(names), 10)
	return names
}

// TestEveryLinkLeadsSomewhere follows links to files and headings. Of those that lead
// out of the project only the form is seen: a test asks nobody.
func TestEveryLinkLeadsSomewhere(t *testing.T) {
	links := 0
	for _, name := range markdown(t) {
		_, prose := guides.Read(t, name)
		for _, l := range guides.Links(prose) {
			links++
			to, err := url.Parse(l.Target)
			require.NoError(t, err, "%s:%d", name, l.Line)
			if to.Scheme != "" {
				require.Contains(t, []string{"https", "mailto"}, to.Scheme, "%s:%d: %s", name, l.Line, l.Target)
				require.True(t, to.Scheme == "mailto" || strings.Contains(to.Host, "."), "%s:%d: %s", name, l.Line, l.Target)
				continue
			}
			target := name
			if to.Path != "" {
				target = filepath.Join(filepath.Dir(name), filepath.FromSlash(to.Path))
			}
			_, err = os.Stat(target)
			require.NoError(t, err, "%s:%d: %s", name, l.Line, l.Target)
			require.False(t, strings.HasPrefix(target, filepath.Join("..", "..")), "%s:%d: %s is not in the project", name, l.Line, l.Target)
			if to.Fragment != "" {
				_, text := guides.Read(t, target)
				require.True(t, guides.Anchors(text)[to.Fragment], "%s:%d: %s has no heading %q", name, l.Line, target, to.Fragment)
			}
		}
	}
	require.Greater(t, links, 50)
}

// TestEveryGuideIsFoundFromTheREADME, by links.
func TestEveryGuideIsFoundFromTheREADME(t *testing.T) {
	seen, next := map[string]bool{}, []string{filepath.Join("..", "README.md")}
	for len(next) > 0 {
		name := next[0]
		next = next[1:]
		if seen[name] || !strings.HasSuffix(name, ".md") {
			continue
		}
		seen[name] = true
		_, prose := guides.Read(t, name)
		for _, l := range guides.Links(prose) {
			if to, err := url.Parse(l.Target); err == nil && to.Scheme == "" && to.Path != "" {
				next = append(next, filepath.Join(filepath.Dir(name), filepath.FromSlash(to.Path)))
			}
		}
	}
	all, err := filepath.Glob("*.md")
	require.NoError(t, err)
	for _, name := range all {
		require.True(t, seen[filepath.Join("..", "docs", name)], name)
	}
}
