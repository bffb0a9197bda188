package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFigureThatGrowsIsFound(t *testing.T) {
	for grows := range figures {
		var leaking, flat flatness
		for second := range 300 {
			values := make([]float64, len(figures))
			for i, figure := range figures {
				values[i] = 10 + float64(second%7)*figure.slack/7 // it goes up and down
			}
			flat.samples = append(flat.samples, append([]float64(nil), values...))
			values[grows] += float64(second) * (figures[grows].slack + 1) / 100
			leaking.samples = append(leaking.samples, values)
		}
		require.NoError(t, flat.grown())
		require.ErrorContains(t, leaking.grown(), figures[grows].name+" grew")
	}
}

func TestASoakThatWasTooShortSaysNothingOfGrowth(t *testing.T) {
	require.NoError(t, new(flatness).grown())
	var out strings.Builder
	require.NoError(t, reportFlatness(&out, make([]result, 1)))
	require.Contains(t, out.String(), "WAL")
	require.Contains(t, out.String(), "too short to tell")
}
