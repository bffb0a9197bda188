package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const specimen = `package main

import (
	"fmt"
	"time"
)

const fixed = 3 - 1

func main() {
	a, b, list := 2, 3, []int{5, 6, 7}
	fmt.Print(a < b && b != 3, " ")
	fmt.Print(a == 2 || list[9] == 1, " ")
	fmt.Print(a+b*2, " ", -a, " ", fixed, " ")
	sum := 0
	for i := 0; i <= 2; i++ {
		if i == 1 {
			continue
		}
		sum += list[i]
	}
	var d time.Duration = -1
	if d < 0 {
		sum++
	}
	fmt.Print(sum)
}

func endless() int {
	for {
		if fixed < 5 {
			continue
		}
		return 1
	}
}
`

// another has a constant of a type that it does not import.
const another = `package main

import "os/exec"

var cmd = exec.Cmd{WaitDelay: -1}
`

// TestEachMutantLivesAloneInTheBinaryOfThemAll builds the specimen once and runs
// it with each of its mutants.
func TestEachMutantLivesAloneInTheBinaryOfThemAll(t *testing.T) {
	golang, err := exec.LookPath("go")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.org/specimen\n\ngo 1.26\n"), 0o600))
	code := map[string]string{"another.go": another, "main.go": specimen}
	for name, text := range code {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	mutated, ids, err := setting{golang: golang}.mutateAll(dir, code)
	require.NoError(t, err)
	for name, text := range mutated {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	binary := filepath.Join(dir, "specimen")
	out, err := command(dir, golang, "build", "-o", binary).CombinedOutput()
	require.NoError(t, err, string(out))

	want := map[string]string{
		"12:14 <=":   "false true 8 -2 2 13",
		"12:14 >=":   "false true 8 -2 2 13",
		"12:18 ||":   "true true 8 -2 2 13",
		"12:23 ==":   "true true 8 -2 2 13",
		"13:14 !=":   "panics",
		"13:19 &&":   "panics",
		"13:30 !=":   "false true 8 -2 2 13",
		"14:13 -":    "false true -4 -2 2 13",
		"14:15 /":    "false true 3 -2 2 13",
		"14:24 +":    "false true 8 2 2 13",
		"16:16 <":    "false true 8 -2 2 6",
		"16:16 >":    "false true 8 -2 2 1",
		"16:23 --":   "panics",
		"17:8 !=":    "false true 8 -2 2 7",
		"18:4 break": "false true 8 -2 2 6",
		"22:24 +":    "false true 8 -2 2 12",
		"23:7 <=":    "false true 8 -2 2 13",
		"23:7 >=":    "false true 8 -2 2 12",
		"24:6 --":    "false true 8 -2 2 11",
	}
	require.Len(t, ids, len(want), "%v", ids)
	for at, id := range ids {
		at = strings.TrimPrefix(at, "main.go:")
		cmd := exec.CommandContext(t.Context(), binary)
		cmd.Env = append(os.Environ(), fmt.Sprintf("MUTANT=%d", id))
		out, err := cmd.Output()
		if want[at] == "panics" {
			require.Error(t, err, at)
			continue
		}
		require.NoError(t, err, at)
		require.Equal(t, want[at], string(out), at)
	}
	out, err = command(dir, binary).Output()
	require.NoError(t, err)
	require.Equal(t, "false true 8 -2 2 13", string(out), "without a mutant")
}

func TestTheFirstTokenThatIsAnotherOneIsFoundWhateverTheFormat(t *testing.T) {
	at, from, to, ok := difference("package a\n\nvar x = 1 <  2\n", "package a\nvar x = 1 <= 2")
	require.True(t, ok)
	require.Equal(t, place{3, 11}, at)
	require.Equal(t, [2]string{"<", "<="}, [2]string{from, to})
	_, _, _, ok = difference("package a // b\n", "package a")
	require.False(t, ok)
}

func TestFilesOfOtherSystemsAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.go": "package a\n", "b.go": "//go:build " + runtime.GOOS + "\n\npackage a\n", "c.go": "//go:build !" + runtime.GOOS + "\n\npackage a\n",
		"d_plan9.go": "package a\n", "a_test.go": "package a\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	code, err := sources(dir, false)
	require.NoError(t, err)
	require.Equal(t, []string{"a.go", "b.go"}, sorted(code))
	tests, err := sources(dir, true)
	require.NoError(t, err)
	require.Equal(t, []string{"a_test.go"}, sorted(tests))
}
