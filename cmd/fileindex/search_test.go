package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// searched are names that a search may trip over.
var searched = []string{
	"a", "ab", "abc.go", "xab", "UPPER.GO", "100%_sure", "100 percent", "%", "_", "%%", "'", `"`, "--", ";", "[a]", "*", "?", `back\slash`, `\`, `\%`, `end\`,
	"bad\xffname", `lit\xffname`, "\xc3", `\x`, `\x5cxff`, "ünï", "ÜNÏ", "u\u0308", "İstanbul", "ſharp", "\u212aelvin", "ß", "ẞ", "new\nline", "tab\t", " ", " lead",
	"ab\U0010ffff", "ab\U0010ffffz", "\U0010ffff", "ab\U0010fffe", "日本", strings.Repeat("long", 63), strings.Repeat("\xff", 255), "Ａ", ".hidden", "select", "NULL", "-n", "--help",
}

func searchBench(t testing.TB) (b bench, root string) {
	t.Helper()
	root = filepath.Join(t.TempDir(), "tree")
	require.NoError(t, os.Mkdir(root, 0o755))
	for _, name := range searched {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), nil, 0o600))
	}
	b = bench{t, filepath.Join(t.TempDir(), "index.db")}
	b.ok("index", root)
	return b, root
}

// found are the names that a search finds, in its order.
func (a *app) found(t *testing.T, text string, limit int64) []string {
	t.Helper()
	return bases(a.entries(t, search, limit, text))
}

func bases(list []fileJSON) []string {
	names := []string{}
	for _, f := range list {
		names = append(names, filepath.Base(f.Path))
	}
	return names
}

// requireFilter compares a search with a look at each name.
func requireFilter(t *testing.T, a *app, text string) {
	t.Helper()
	var begin, within []string
	shown := text
	if !utf8.ValidString(text) {
		shown = encode(text)
	}
	for _, name := range searched {
		stored := encode(name)
		switch lower := strings.ToLower(stored); {
		case strings.HasPrefix(lower, strings.ToLower(shown)):
			begin = append(begin, stored)
		case strings.Contains(lower, strings.ToLower(shown)):
			within = append(within, stored)
		}
	}
	all := a.found(t, text, 10000)
	require.ElementsMatch(t, append(begin, within...), all, "%q", text)
	for _, limit := range []int64{1, 3} {
		require.Equal(t, all[:min(int(limit), len(all))], a.found(t, text, limit), "%q: the first %d", text, limit)
	}
}

func TestASearchFindsWhatALookAtEachNameFinds(t *testing.T) {
	b, _ := searchBench(t)
	a := b.opened()
	for _, text := range append([]string{
		"", "A", "AB", "%_", `\`, `\\`, "\xff", "\xff\xff", "name\xff", `\xff`, "a\x00", "\x00", "ab\x00%", "lower\x00", "Ü", "ß", "SS", "i\u0307", "k", "s", "\ufffd",
		strings.Repeat("x", 60_000), strings.Repeat("%", 40_000), strings.Repeat("_", 60_000), strings.Repeat("\xff", 20_000), "' OR 1=1 --", "\U0010ffff", "ab", "é",
	}, searched...) {
		requireFilter(t, a, text)
	}
	for _, text := range []string{"A", "\xff", `\x`, "-n", "--help", "a\x00"} { // and through the whole program
		var list []fileJSON
		require.NoError(t, json.Unmarshal([]byte(b.ok("-json", "search", "-n", "3", "--", text)), &list))
		require.Equal(t, a.found(t, text, 3), bases(list), "%q", text)
	}
}

func FuzzSearch(f *testing.F) {
	b, _ := searchBench(f)
	a := b.opened()
	for _, text := range []string{"a", "%", `\x`, "\xff", "ÜN", "a\x00b", "ab\U0010ffff", "--help", "-n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { requireFilter(t, a, text) })
}
