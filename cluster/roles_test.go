package cluster

import (
	"testing"

	"github.com/sqlane/sqlane/internal/wire"
	"github.com/stretchr/testify/require"
)

// TestRolesAreChangedOneByOneUntilTheyAreRight: a letter is a member, the first one the
// leader: a voter, a stand-by or a spare, in upper case if it is online.
func TestRolesAreChangedOneByOneUntilTheyAreRight(t *testing.T) {
	t.Parallel()
	roles := map[rune]wire.Role{'V': wire.Voter, 'B': wire.StandBy, 'S': wire.Spare, 'v': wire.Voter, 'b': wire.StandBy, 's': wire.Spare}
	for before, after := range map[string]string{
		"V":         "V",
		"VS":        "VB",        // a copy without a vote
		"VV":        "VB",        // the other may go
		"Vv":        "Vs",        // the other has gone
		"VBS":       "VVV",       // three vote
		"VVs":       "VVs",       // who is gone cannot
		"VVv":       "VVv",       // nobody is there in its place
		"VVvB":      "VVsV",      // a stand-by takes its place
		"VVvS":      "VVsV",      // or a spare
		"VVvSB":     "VVsBV",     // but a stand-by first
		"VVVS":      "VVVB",      //
		"VVVV":      "VBVV",      // an even number gains nothing
		"VVVBBBS":   "VVVBBBS",   // three copies are enough
		"VVVBBBB":   "VVVSBBB",   //
		"VVVBBBbS":  "VVVBBBsS",  //
		"VVVBBbS":   "VVVBBsB",   //
		"VVvvvBBBS": "VVsssVBBB", //
	} {
		online := map[uint64]bool{}
		var members []wire.Node
		for i, letter := range before {
			id := uint64(i + 1)
			online[id] = letter < 'a'
			members = append(members, wire.Node{ID: id, Role: roles[letter]})
		}
		for changes := 0; ; changes++ {
			require.Less(t, changes, 20, before)
			a, ok := nextRole(members, online, 1)
			if !ok {
				break
			}
			members[a.node.ID-1].Role = a.role
		}
		got := ""
		for _, m := range members {
			letter := "VBS"[m.Role]
			if !online[m.ID] {
				letter += 'a' - 'A'
			}
			got += string(letter)
		}
		require.Equal(t, after, got, before)
	}
}
