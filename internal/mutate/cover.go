package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// test is one test and what it reaches.
type test struct {
	Name   string
	Took   time.Duration
	Blocks []block
	Total  int // of blocks, where Blocks are of one file alone
}

// block is a part of a file.
type block struct {
	File       string // its name, without the directory
	From, To   place
	Statements int
}

type place struct{ Line, Column int }

func (p place) before(q place) bool {
	return p.Line < q.Line || p.Line == q.Line && p.Column < q.Column
}

func (b block) has(file string, at place) bool {
	return b.File == file && !at.before(b.From) && at.before(b.To)
}

func (t test) reaches(file string, at place) bool {
	return slices.ContainsFunc(t.Blocks, func(b block) bool { return b.has(file, at) })
}

// cover writes the profile that gremlins asks for.
func (s setting) cover(profile, pattern string) error {
	var text strings.Builder
	text.WriteString("mode: set\n")
	dirs, err := packages(filepath.Join(s.root, strings.TrimSuffix(pattern, "/...")))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		tests, err := s.tests(dir)
		if err != nil {
			return err
		}
		if err := s.sortByFile(dir, tests); err != nil {
			return err
		}
		if _, err := s.schemata(dir); err != nil {
			return err
		}
		module, err := s.module()
		if err != nil {
			return err
		}
		below, err := filepath.Rel(s.root, dir)
		if err != nil {
			return err
		}
		seen := make(map[block]bool)
		for _, t := range tests {
			for _, b := range t.Blocks {
				if !seen[b] {
					seen[b] = true
					fmt.Fprintf(&text, "%s/%s/%s:%d.%d,%d.%d %d 1\n", module, filepath.ToSlash(below), b.File,
						b.From.Line, b.From.Column, b.To.Line, b.To.Column, b.Statements)
				}
			}
		}
	}
	return os.WriteFile(profile, []byte(text.String()), 0o600)
}

// sortByFile keeps for each file the tests that reach it: to read all of them
// for each mutant would take longer than to run them.
func (s setting) sortByFile(dir string, tests []test) error {
	code, err := sources(dir, false)
	if err != nil {
		return err
	}
	for name := range code {
		var reaching []test
		for _, t := range tests {
			here := slices.DeleteFunc(slices.Clone(t.Blocks), func(b block) bool { return b.File != name })
			if len(here) > 0 {
				reaching = append(reaching, test{Name: t.Name, Took: t.Took, Blocks: here, Total: len(t.Blocks)})
			}
		}
		text, err := json.Marshal(reaching)
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.reaching(name, code), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s setting) reaching(file string, code map[string]string) string {
	return filepath.Join(s.memory, "reaching-"+digest(code, map[string]string{"of": file})+".json")
}

func (s setting) module() (string, error) {
	out, err := command(s.root, s.golang, "list", "-m").Output()
	return strings.TrimSpace(string(out)), err
}

func command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	return cmd
}

// tests returns a package's tests. Each runs alone, once for each state of the
// package's sources and of the file that it stands in.
func (s setting) tests(dir string) ([]test, error) {
	code, err := sources(dir, false)
	if err != nil {
		return nil, err
	}
	texts, err := sources(dir, true)
	if err != nil {
		return nil, err
	}
	binary, err := os.CreateTemp("", "cover-*.test")
	if err != nil {
		return nil, err
	}
	_ = binary.Close()
	defer os.Remove(binary.Name())
	if out, err := command(dir, s.golang, "test", "-c", "-vet=off", "-cover", "-covermode=set", "-o", binary.Name()).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	list, err := command(dir, binary.Name(), "-test.list", "^(Test|Fuzz|Example)").Output()
	if err != nil {
		return nil, err
	}
	names := strings.Fields(string(list))
	tests := make([]test, len(names))
	faults := make([]error, len(names))
	var wg sync.WaitGroup
	turns := make(chan struct{}, 2)
	for i, name := range names {
		key := digest(code, map[string]string{name: fileOf(texts, name)})
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			tests[i], faults[i] = s.reach(dir, binary.Name(), name, key, code)
		})
	}
	wg.Wait()
	return tests, errors.Join(faults...)
}

// fileOf returns the text of the file that a test stands in.
func fileOf(texts map[string]string, name string) string {
	for _, text := range texts {
		if strings.Contains(text, "\nfunc "+name+"(") {
			return text
		}
	}
	return ""
}

// reach runs a test to see what it reaches, or remembers it.
func (s setting) reach(dir, binary, name, key string, code map[string]string) (t test, err error) {
	memory := filepath.Join(s.memory, "cover-"+key+".json")
	text, err := os.ReadFile(memory)
	if err == nil {
		return t, json.Unmarshal(text, &t)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return t, err
	}
	where, err := os.MkdirTemp("", "cover-")
	if err != nil {
		return t, err
	}
	defer os.RemoveAll(where)
	profile := filepath.Join(where, "cover.out")
	cmd := command(dir, binary, "-test.run", "^"+name+"$", "-test.timeout", "10m", "-test.coverprofile", profile)
	cmd.Env = append(os.Environ(), "GOCOVERDIR="+where) // its children say on stderr that there is none
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return t, fmt.Errorf("%s fails without any mutation: %w: %s", name, err, lastLines(out))
	}
	t = test{Name: name, Took: time.Since(start)}
	if text, err = os.ReadFile(profile); err != nil {
		return t, err
	}
	if t.Blocks, err = readProfile(string(text), dir); err != nil {
		return t, err
	}
	t.Blocks = append(t.Blocks, caseConditions(code, t.Blocks)...)
	if text, err = json.Marshal(t); err != nil {
		return t, err
	}
	return t, os.WriteFile(memory, text, 0o600)
}

func lastLines(out []byte) string {
	return string(out[max(0, len(out)-2000):])
}

// readProfile keeps the blocks that were reached of a package's files.
func readProfile(text, dir string) (blocks []block, err error) {
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || name == "mode" || !strings.HasSuffix(rest, " 1") {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, filepath.Base(name))); err != nil {
			continue // of another package
		}
		b := block{File: filepath.Base(name)}
		if _, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d", &b.From.Line, &b.From.Column, &b.To.Line, &b.To.Column, &b.Statements); err != nil {
			return nil, fmt.Errorf("%s: %w", strconv.Quote(line), err)
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// caseConditions are the conditions of the switches that were reached: go's
// profiles say nothing of them, and gremlins would leave them alone.
func caseConditions(code map[string]string, reached []block) (more []block) {
	for name, text := range code {
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, name, text, 0)
		if err != nil {
			continue // the compiler has said so already
		}
		at := func(p token.Pos) place {
			q := files.Position(p)
			return place{q.Line, q.Column}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.SwitchStmt)
			if !ok || !slices.ContainsFunc(reached, func(b block) bool { return b.has(name, at(s.Switch)) }) {
				return true
			}
			for _, clause := range s.Body.List {
				c := clause.(*ast.CaseClause)
				more = append(more, block{File: name, From: at(c.Case), To: at(c.Colon), Statements: 1})
			}
			return true
		})
	}
	return more
}

// failed returns the first test that a test binary's output calls failed.
func failed(out []byte) string {
	for line := range bytes.Lines(out) {
		if rest, ok := bytes.CutPrefix(line, []byte("--- FAIL: ")); ok {
			name, _, _ := bytes.Cut(rest, []byte(" "))
			return string(name)
		}
	}
	return "the whole"
}
