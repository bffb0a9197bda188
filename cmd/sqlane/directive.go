package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// directive is a go:generate line (see go help generate) that runs sqlc or repogen.
type directive struct {
	file string // in which it stands
	line int
	tool string   // "sqlc" or "repogen"
	argv []string // the tool's arguments begin at args
	args int
}

func (d directive) dir() string { return filepath.Dir(d.file) }

// flag finds a flag of the tool's by its names. at is where its value is, in argv, or
// -1; text is its value.
func (d directive) flag(names ...string) (at int, text string) {
	for i := d.args; i < len(d.argv); i++ {
		name, value, joined := strings.Cut(strings.TrimPrefix(d.argv[i], "-"), "=")
		for _, n := range names {
			switch {
			case !strings.HasPrefix(d.argv[i], "-") || strings.TrimPrefix(name, "-") != n:
			case joined:
				return i, value
			case i+1 < len(d.argv):
				return i + 1, d.argv[i+1]
			}
		}
	}
	return -1, ""
}

// with is the command with one of its words replaced.
func (d directive) with(at int, word string) []string {
	argv := append([]string(nil), d.argv...)
	if name, _, joined := strings.Cut(argv[at], "="); joined && strings.HasPrefix(name, "-") {
		word = name + "=" + word
	}
	argv[at] = word
	return argv
}

// goFiles gives fn each Go file that belongs to the packages below a directory.
func goFiles(dir string, fn func(name string, text []byte) error) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch base := d.Name(); {
		case d.IsDir() && name != dir:
			_, nested := os.Stat(filepath.Join(name, "go.mod"))
			if nested == nil || base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular() || !strings.HasSuffix(base, ".go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return fn(name, text)
	})
}

// directives are those of a Go file that run sqlc generate or repogen.
func directives(name string, text []byte) (all []directive, err error) {
	aliases := map[string][]string{}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		rest, ok := bytes.CutPrefix(line, []byte("//go:generate"))
		if !ok || len(rest) == 0 || rest[0] != ' ' && rest[0] != '\t' {
			continue
		}
		words, err := split(string(rest))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, number, err)
		}
		if len(words) > 1 && words[0] == "-command" {
			aliases[words[1]] = words[2:]
			continue
		}
		if len(words) > 0 && aliases[words[0]] != nil {
			words = append(append([]string(nil), aliases[words[0]]...), words[1:]...)
		}
		for i, word := range words {
			words[i] = os.Expand(word, func(v string) string { return variable(name, number, v) })
		}
		if d := (directive{file: name, line: number, argv: words}); d.known() {
			all = append(all, d)
		}
	}
	return all, nil
}

// known finds out which tool it runs: one that has its name, whatever stands before.
func (d *directive) known() bool {
	for i, word := range d.argv {
		word, _, _ = strings.Cut(word, "@")
		switch tool := strings.TrimSuffix(path.Base(filepath.ToSlash(word)), ".exe"); tool {
		case "repogen":
			d.tool, d.args = tool, i+1
			at, _ := d.flag("out")
			return at >= 0
		case "sqlc":
			d.tool, d.args = tool, i+1
			return d.verb() >= 0
		}
	}
	return false
}

// verb is where sqlc is told to generate.
func (d *directive) verb() int {
	for i := d.args; i < len(d.argv); i++ {
		if d.argv[i] == "generate" {
			return i
		}
	}
	return -1
}

// split makes words of a line: a word in double quotes is a Go string.
func split(line string) (words []string, err error) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " \t") {
		if line[0] != '"' {
			end := strings.IndexAny(line, " \t")
			if end < 0 {
				end = len(line)
			}
			words, line = append(words, line[:end]), line[end:]
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, fmt.Errorf("a quoted word has no end: %s", line)
		}
		word, _ := strconv.Unquote(quoted) // QuotedPrefix has seen that it is one
		words, line = append(words, word), line[len(quoted):]
	}
	return words, nil
}

// variable is what go generate sets for a line, or the environment's.
func variable(file string, line int, name string) string {
	switch name {
	case "GOFILE":
		return filepath.Base(file)
	case "GOLINE":
		return strconv.Itoa(line)
	case "DOLLAR":
		return "$"
	}
	return os.Getenv(name)
}
