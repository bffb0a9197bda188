package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheExitCodeTellsWrongUsageFromHelp(t *testing.T) {
	for _, help := range []string{"-h", "-help", "--help"} {
		require.Zero(t, run([]string{help}))
	}
	for _, wrong := range [][]string{{"-nonsense"}, {"more"}, {"-seed", "x"}, {"-only", "nothing"}, {"-only", "crash,nothing"}} {
		require.Equal(t, 2, run(wrong), wrong)
	}
	require.Equal(t, 1, run([]string{"-dir", "/nowhere/at/all"}))
}
