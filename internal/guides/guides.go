// Package guides reads the project's Markdown for the tests that run what it says.
//
// A block of code belongs to its fence's first line. "```go" alone is a piece of a
// test file, which shows the same lines and runs them: see Shown. "```sql 00001_a.sql"
// is a whole file, which a test takes or writes where it runs the commands of the
// "```sh" blocks.
package guides

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
)

// Block is a fenced piece of a guide.
type Block struct {
	Language, File string // File is "" for a piece of one
	Text           string // without the indent of a list that it stands in
	Line           int    // of the opening fence, from 1
}

// Read returns a guide's blocks, and what is left of the text without them.
func Read(t testing.TB, name string) (blocks []Block, prose string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	blocks, prose, err = Split(string(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return blocks, prose
}

// Split tells blocks and prose apart. A block's lines are empty in the prose, so that
// both have the text's line numbers.
func Split(text string) (blocks []Block, prose string, err error) {
	var rest strings.Builder
	var open *Block
	indent, number := "", 0
	for line := range strings.Lines(text) {
		number++
		bare := strings.TrimLeft(line, " ")
		fence := strings.HasPrefix(bare, "```")
		switch {
		case open == nil && fence:
			language, file, _ := strings.Cut(strings.TrimSpace(bare[3:]), " ")
			open, indent = &Block{Language: language, File: file, Line: number}, line[:len(line)-len(bare)]
		case open != nil && fence:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.Text += strings.TrimPrefix(line, indent)
			rest.WriteByte('\n')
			continue
		default:
			rest.WriteString(line)
			continue
		}
		rest.WriteByte('\n')
	}
	if open != nil {
		return nil, "", fmt.Errorf("the block of line %d is not closed", open.Line)
	}
	return blocks, rest.String(), nil
}

// Shown fails the test for a Go block without a file that does not stand, line by line,
// in the test file. Indents do not count: a guide shows what is inside a function too.
// That the file runs what it shows is for its tests and for staticcheck, which finds
// functions that nothing calls.
func Shown(t testing.TB, guide, testFile string) {
	t.Helper()
	source, err := os.ReadFile(testFile)
	if err != nil {
		t.Fatal(err)
	}
	blocks, _ := Read(t, guide)
	shown := 0
	for _, b := range blocks {
		if b.Language != "go" || b.File != "" {
			continue
		}
		shown++
		if !strings.Contains(flat(string(source)), flat(b.Text)) {
			t.Errorf("%s:%d: %s does not run what is shown:\n%s", guide, b.Line, testFile, b.Text)
		}
	}
	if shown == 0 {
		t.Errorf("%s shows no Go", guide)
	}
}

// flat is a text without its indents.
func flat(text string) string {
	var b strings.Builder
	b.WriteByte('\n')
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimLeft(line, "\t"))
	}
	return b.String()
}

// Files are the blocks of a guide that are whole files.
func Files(t testing.TB, guide string) fstest.MapFS {
	t.Helper()
	blocks, _ := Read(t, guide)
	files := fstest.MapFS{}
	for _, b := range blocks {
		if b.File != "" {
			files[b.File] = &fstest.MapFile{Data: []byte(b.Text), Mode: 0o644}
		}
	}
	return files
}

// Run runs a command of a guide in a folder, which is a module of its own. The error
// is the command's, and out is all that it printed.
func Run(t testing.TB, dir, line string) (out string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// Link is a link or an image of a guide.
type Link struct {
	Target string
	Line   int
}

var (
	code    = regexp.MustCompile("`[^`\n]*`")
	inline  = regexp.MustCompile(`\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.*?) *$`)
)

// Links are the inline links of a guide's prose, as Split has it.
func Links(prose string) (links []Link) {
	number := 0
	for line := range strings.Lines(prose) {
		number++
		for _, m := range inline.FindAllStringSubmatch(code.ReplaceAllString(line, "code"), -1) {
			links = append(links, Link{m[1], number})
		}
	}
	return links
}

// Anchors are the names of a guide's headings, as GitHub makes them: in lower case,
// with dashes for spaces and without punctuation, the second of a name with -1.
func Anchors(prose string) map[string]bool {
	anchors := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(prose, -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		for i, first := 1, name; anchors[name]; i++ {
			name = fmt.Sprint(first, "-", i)
		}
		anchors[name] = true
	}
	return anchors
}
