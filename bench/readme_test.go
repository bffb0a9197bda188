package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/bench/peers"
	"github.com/stretchr/testify/require"
)

func TestOnlyTheFiguresOfAREADMEAreRenewed(t *testing.T) {
	r1 := measured("R1", map[string]figures{
		"sqlane": {"ns/op": {5000}}, "zombiezen": {"ns/op": {10_000}}, "floor": {"ns/op": {4000}},
	})
	r := report{plan: plan{peers: peers.All()}, results: []*result{r1}, machine: machine{CPUs: 2}}
	file := filepath.Join(t.TempDir(), "README.md")
	require.NoError(t, os.WriteFile(file, []byte("before\n"+figuresBegin+"\nold\n"+figuresEnd+"\nafter\n"), 0o600))
	for range 2 {
		require.NoError(t, hasFigures(file))
		require.NoError(t, r.renew(file))
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Regexp(t, `^before\n`+figuresBegin+`\nA few of [^\n]*\n\n\| \|[^\n]*\n\|---[^\n]*\n`+
			`\| one typed row by its key \| 5 µs \| 2 × zombiezen's pool, 0\.800 × SQLite itself \|\n`+figuresEnd+`\nafter\n$`, string(text))
	}
	require.NoError(t, r.renew(""), "there is none")
}

func TestAREADMEWithoutAPlaceForFiguresIsToldBeforeAnythingIsMeasured(t *testing.T) {
	here := t.TempDir()
	file := filepath.Join(here, "README.md")
	require.NoError(t, os.WriteFile(file, []byte(figuresEnd+"\n"+figuresBegin+"\n"), 0o600))
	require.ErrorContains(t, hasFigures(file), "has no lines")
	require.ErrorIs(t, hasFigures(filepath.Join(here, "nowhere")), os.ErrNotExist)
	var out, err bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{"-readme", file, "-dir", here, "-out", here, "-tree", here}, &out, &err))
	require.Contains(t, err.String(), "has no lines")
}

func TestTheComparisonHasAPlaceForFigures(t *testing.T) {
	require.NoError(t, hasFigures(filepath.Join("..", "docs", "comparison.md")))
}
