// Command mutate stands in for the go command while gremlins does mutation
// testing (see the Makefile): it runs of a package's tests only those that reach
// the mutated code, the likeliest first, and remembers every verdict, so that a
// run that was stopped goes on where it was.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"go/build"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// What gremlins makes of the exit code of "go test".
const (
	lived     = 0
	killed    = 1
	notViable = 2 // it does not compile; go itself would exit with 1
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		note(err)
		code = 3
	}
	os.Exit(code)
}

// note keeps an error for the Makefile, which says it at the end: gremlins would call
// the mutant one that lived.
func note(err error) {
	f, failed := os.OpenFile(filepath.Join(os.Getenv("MUTATE_MEMORY"), "errors.txt"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if failed != nil {
		return // it was said on stderr
	}
	defer f.Close()
	fmt.Fprintln(f, err)
}

// setting is what the Makefile says.
type setting struct {
	golang string // the true go command
	root   string // of the module that is being tested
	memory string // the directory that keeps coverage and verdicts
}

func run(args []string) (code int, err error) {
	s := setting{golang: os.Getenv("MUTATE_GO"), root: os.Getenv("MUTATE_ROOT"), memory: os.Getenv("MUTATE_MEMORY")}
	if s.golang == "" || s.root == "" || s.memory == "" {
		return 0, errors.New("it works inside make mutate alone")
	}
	if len(args) == 0 || args[0] != "test" {
		cmd := exec.Command(s.golang, args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode(), nil
		}
		return 0, err
	}
	if i := slices.Index(args, "-coverprofile"); i >= 0 {
		return 0, s.cover(args[i+1], args[len(args)-1])
	}
	here, err := os.Getwd() // the package's directory in gremlins' copy of the module
	if err != nil {
		return 0, err
	}
	return s.judge(here)
}

// packages returns the directories that hold a package with tests, in and below dir.
func packages(dir string) (dirs []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "testdata" {
			return filepath.SkipDir
		}
		if tests, _ := filepath.Glob(filepath.Join(path, "*_test.go")); err == nil && d.IsDir() && len(tests) > 0 {
			dirs = append(dirs, path)
		}
		return err
	})
	return dirs, err
}

// sources returns the text of a directory's Go files by name, tests or not, but for those
// of other systems.
func sources(dir string, tests bool) (map[string]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	texts := make(map[string]string)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") != tests {
			continue
		}
		switch ours, err := build.Default.MatchFile(filepath.Split(name)); {
		case err != nil:
			return nil, err
		case !ours:
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		texts[filepath.Base(name)] = string(text)
	}
	return texts, nil
}

// digest names what texts hold.
func digest(texts ...map[string]string) string {
	h := sha256.New()
	for _, t := range texts {
		for _, name := range sorted(t) {
			_, _ = io.WriteString(h, name+"\x00"+t[name]+"\x00")
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

func sorted(texts map[string]string) []string {
	names := make([]string, 0, len(texts))
	for name := range texts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
