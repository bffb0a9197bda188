package sqlane_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheTargetsThatTheGuidesNameExist(t *testing.T) {
	made, err := os.ReadFile("Makefile")
	require.NoError(t, err)
	target := regexp.MustCompile("`make ([a-z-]+)")
	for name, least := range map[string]int{"CONTRIBUTING.md": 15, "CHANGELOG.md": 1} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		found := target.FindAllStringSubmatch(string(text), -1)
		require.GreaterOrEqual(t, len(found), least)
		for _, match := range found {
			require.Regexp(t, `(?m)^`+match[1]+`:`, string(made), "%s names make %s", name, match[1])
		}
	}
}

// TestEveryModuleAndItsCheckIsTold to who contributes.
func TestEveryModuleAndItsCheckIsTold(t *testing.T) {
	guide, err := os.ReadFile("CONTRIBUTING.md")
	require.NoError(t, err)
	modules := 0
	require.NoError(t, filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") || d.Name() == "build" || d.Name() == "testdata"):
			return fs.SkipDir
		case d.Name() == "go.mod" && name != "go.mod":
			modules++
			require.Contains(t, string(guide), "`"+filepath.ToSlash(filepath.Dir(name))+"/`")
		}
		return nil
	}))
	require.Greater(t, modules, 5)
	made, err := os.ReadFile("Makefile")
	require.NoError(t, err)
	checks := regexp.MustCompile(`(?m)^([a-z-]+-check):.*##`).FindAllStringSubmatch(string(made), -1)
	require.Greater(t, len(checks), 5)
	for _, check := range checks {
		require.Contains(t, string(guide), "`make "+check[1]+"`")
	}
}

// TestTheChangeLogHasItsForm: newest first, what is not released on top, each
// release with a date, and only the groups that Keep a Changelog knows, and limits.
func TestTheChangeLogHasItsForm(t *testing.T) {
	text, err := os.ReadFile("CHANGELOG.md")
	require.NoError(t, err)
	var releases []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "## "):
			releases = append(releases, line)
		case strings.HasPrefix(line, "### "):
			require.Contains(t, []string{"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Known limits"}, line[4:])
		}
	}
	require.Equal(t, "## [Unreleased]", releases[0])
	for _, release := range releases[1:] {
		require.Regexp(t, `^## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d$`, release)
	}
	require.Equal(t, "## [0.1.0] - ", releases[len(releases)-1][:13])
}

func TestTheLicenceIsTheOneThatIsNamed(t *testing.T) {
	text, err := os.ReadFile("LICENSE")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), "BSD 3-Clause License\n"))
	require.Contains(t, string(text), ", The sqlane authors\n")
	for _, name := range []string{"README.md", "CONTRIBUTING.md"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Contains(t, string(text), "BSD-3-Clause")
	}
}
