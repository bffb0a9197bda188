package trial_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sqlane/sqlane/torture/trial"
	"github.com/stretchr/testify/require"
)

func TestALossAnErrorAndATrialWithoutTeethAreFailures(t *testing.T) {
	cause := errors.New("a reason")
	for want, row := range map[string]trial.Row{
		"held":             {Name: "a", Attempts: 3, Acknowledged: 5},
		"FAILED":           {Name: "b", Attempts: 3, Acknowledged: 5, Lost: 1},
		"lost, as it must": {Name: "c", Attempts: 3, Acknowledged: 5, Lost: 1, MustLose: true},
		"NOT TRIED":        {Name: "d", Note: "no FUSE"},
	} {
		var table bytes.Buffer
		require.NoError(t, trial.Print(&table, []trial.Row{row}))
		require.Contains(t, table.String(), want)
		require.Equal(t, want == "FAILED", trial.Errors([]trial.Row{row}) != nil)
	}
	require.ErrorContains(t, trial.Row{Attempts: 1, MustLose: true}.Verdict(), "no teeth")
	require.ErrorIs(t, trial.Errors([]trial.Row{{}, {Err: cause}}), cause)
	require.NoError(t, trial.Row{MustLose: true, Note: "no FUSE"}.Verdict(), "what was not tried did not fail")
}

func TestATrialThatMustLoseGetsMoreChances(t *testing.T) {
	require.False(t, trial.Row{Attempts: 2}.Enough(3))
	require.True(t, trial.Row{Attempts: 3}.Enough(3))
	require.False(t, trial.Row{Attempts: 3, MustLose: true}.Enough(3))
	require.True(t, trial.Row{Attempts: 3, MustLose: true, Lost: 1}.Enough(3))
	require.True(t, trial.Row{Attempts: 60, MustLose: true}.Enough(3))
}

func TestTheSameSeedDrawsTheSame(t *testing.T) {
	a, b, c, d := trial.Plan{Seed: 1}.Rand("x"), trial.Plan{Seed: 1}.Rand("x"), trial.Plan{Seed: 1}.Rand("y"), trial.Plan{Seed: 2}.Rand("x")
	first := a.Uint64()
	require.Equal(t, first, b.Uint64())
	require.NotEqual(t, first, c.Uint64())
	require.NotEqual(t, first, d.Uint64())
}
