package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAMutantBehindAnIdentifierThatIsCalledEOFIsFound(t *testing.T) {
	const was = "package a\n\nvar last = err == io.EOF\n\nvar sum = 1 +\n\t2\n"
	at, from, to, ok := difference(was, strings.ReplaceAll(was, "+\n\t2", "- 2"))
	require.True(t, ok)
	require.Equal(t, place{5, 13}, at)
	require.Equal(t, []string{"+", "-"}, []string{from, to})
	_, _, _, ok = difference(was, "\n"+was)
	require.False(t, ok)
}
