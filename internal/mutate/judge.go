package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// verdict is what became of a mutant, as the memory keeps it.
type verdict struct {
	At     string // file:line:column
	Was    string
	Is     string
	Result string // killed, lived, not viable or timed out
	By     string // the test that killed it
	Tests  int    // that reach it
	Took   time.Duration
}

// judge runs the tests on the mutant in gremlins' copy of a package or of what
// is below it.
func (s setting) judge(here string) (code int, err error) {
	copied, err := moduleRoot(here)
	if err != nil {
		return 0, err
	}
	below, err := filepath.Rel(copied, here)
	if err != nil {
		return 0, err
	}
	dirs, err := packages(filepath.Join(s.root, below))
	if err != nil {
		return 0, err
	}
	for _, dir := range dirs {
		below, err := filepath.Rel(s.root, dir)
		if err != nil {
			return 0, err
		}
		was, err := sources(dir, false)
		if err != nil {
			return 0, err
		}
		is, err := sources(filepath.Join(copied, below), false)
		if err != nil {
			return 0, err
		}
		for _, name := range sorted(is) {
			if at, from, to, ok := difference(was[name], is[name]); ok {
				return s.judgeIn(dir, filepath.Join(copied, below), is, name, at, verdict{
					At: fmt.Sprintf("%s:%d:%d", filepath.ToSlash(filepath.Join(below, name)), at.Line, at.Column), Was: from, Is: to,
				})
			}
		}
	}
	return 0, errors.New("nothing is mutated")
}

func moduleRoot(dir string) (string, error) {
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("there is no go.mod")
		}
	}
}

// difference finds the first token that is another one, and where it stood:
// gremlins prints a mutated file anew, so lines tell nothing.
func difference(was, is string) (at place, from, to string, ok bool) {
	if was == is {
		return at, "", "", false
	}
	next := func(text string) func() (place, token.Token, string) {
		var s scanner.Scanner
		files := token.NewFileSet()
		s.Init(files.AddFile("", -1, len(text)), []byte(text), nil, 0)
		return func() (place, token.Token, string) {
			pos, tok, lit := s.Scan()
			for tok == token.LPAREN || tok == token.RPAREN { // an operator of another precedence brings some
				pos, tok, lit = s.Scan()
			}
			if !tok.IsLiteral() {
				lit = tok.String()
			}
			p := files.Position(pos)
			return place{p.Line, p.Column}, tok, lit
		}
	}
	for a, b := next(was), next(is); ; {
		var tok token.Token
		at, tok, from = a()
		_, _, to = b()
		if from != to {
			return at, from, to, true
		}
		if tok == token.EOF { // io.EOF reads the same
			return at, "", "", false
		}
	}
}

// judgeIn runs the tests that reach the mutant.
func (s setting) judgeIn(dir, copied string, is map[string]string, name string, at place, v verdict) (code int, err error) {
	texts, err := sources(dir, true)
	if err != nil {
		return 0, err
	}
	// More tests can only kill more, so who was killed stays dead.
	dead := filepath.Join(s.memory, "mutant-"+digest(is)+".json")
	alive := filepath.Join(s.memory, "mutant-"+digest(is, texts)+".json")
	for _, memory := range []string{dead, alive} {
		switch text, err := os.ReadFile(memory); {
		case err == nil:
			err := json.Unmarshal(text, &v)
			return v.code(), err
		case !errors.Is(err, fs.ErrNotExist):
			return 0, err
		}
	}
	start := time.Now()
	if _, err := parser.ParseFile(token.NewFileSet(), name, is[name], parser.SkipObjectResolution); err != nil {
		return notViable, nil // |x instead of &x, for one
	}
	if err := s.try(dir, copied, name, at, &v); err != nil {
		return 0, err
	}
	v.Took = time.Since(start)
	text, err := json.Marshal(v)
	if err != nil {
		return 0, err
	}
	memory := dead
	if v.code() == lived {
		memory = alive
	}
	return v.code(), os.WriteFile(memory, text, 0o600)
}

func (v *verdict) code() int {
	switch v.Result {
	case "lived":
		return lived
	case "not viable":
		return notViable
	}
	return killed // timed out too: somebody would notice
}

// soon is for how long the likeliest tests run before the others do.
const soon = 5 * time.Second

func (s setting) try(dir, copied, name string, at place, v *verdict) error {
	code, err := sources(dir, false)
	if err != nil {
		return err
	}
	var tests []test
	text, err := os.ReadFile(s.reaching(name, code)) // gremlins asks for coverage before it mutates anything
	if err == nil {
		err = json.Unmarshal(text, &tests)
	}
	if err != nil {
		return err
	}
	tests = slices.DeleteFunc(tests, func(t test) bool { return !t.reaches(name, at) })
	v.Tests = len(tests)
	// A test that reaches little else is about this.
	slices.SortStableFunc(tests, func(a, b test) int { return cmp.Compare(a.Total, b.Total) })
	var first, then []test
	var sum time.Duration
	for _, t := range tests {
		if sum+t.Took < soon {
			sum += t.Took
			first = append(first, t)
		} else {
			then = append(then, t)
		}
	}
	made, err := s.schemata(dir)
	if err != nil {
		return err
	}
	binary, id := made.Binary, made.IDs[key(name, at, v.Is)]
	if id == notViableID {
		v.Result, v.By = "not viable", "text is only added"
		return nil
	}
	if id == 0 { // it is of a kind that needs a binary of its own
		f, err := os.CreateTemp("", "mutant-*.test")
		if err != nil {
			return err
		}
		_ = f.Close()
		binary = f.Name()
		defer os.Remove(binary)
		if out, err := command(copied, s.golang, "test", "-c", "-vet=off", "-ldflags=-s -w", "-o", binary).CombinedOutput(); err != nil {
			v.Result, v.By = "not viable", lastLines(out)
			return nil
		}
	}
	v.Result = "lived"
	for _, some := range [][]test{first, then} {
		if len(some) == 0 || v.Result != "lived" {
			continue
		}
		if id != 0 {
			some = slices.DeleteFunc(some, func(t test) bool { return slices.Contains(made.Unfit, t.Name) })
		}
		if err := runTests(copied, binary, id, some, v); err != nil {
			return err
		}
	}
	return nil
}

func runTests(copied, binary string, id int, tests []test, v *verdict) error {
	if len(tests) == 0 {
		return nil
	}
	var names []string
	patience := 10 * time.Second
	for _, t := range tests {
		names = append(names, t.Name)
		patience += 5 * t.Took
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.failfast", "-test.run", "^("+strings.Join(names, "|")+")$")
	cmd.Dir = copied
	cmd.Env = append(os.Environ(), fmt.Sprintf("MUTANT=%d", id))
	cmd.WaitDelay = time.Second // children may hold its output
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		v.Result, v.By = "timed out", fmt.Sprintf("after %v", patience)
	case errors.As(err, &exit) && exit.ExitCode() < 0: // by a signal, as when Ctrl-C ends all of them: no test did that
		return err
	case errors.As(err, &exit):
		v.Result, v.By = "killed", failed(out)
	case err != nil:
		return err
	}
	return nil
}
