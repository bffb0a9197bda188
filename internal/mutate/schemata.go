package main

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// schemata is one test binary that holds most of a package's mutants at once;
// the environment says which of them lives. To compile and link one binary for
// each mutant takes far longer than to run it.
type schemata struct {
	Binary string
	IDs    map[string]int // of mutants, by key
	Unfit  []string       // tests that fail there without any mutant: they count allocations, say
}

// key names a mutant: where it is and what stands there instead.
func key(file string, at place, to string) string {
	return fmt.Sprintf("%s:%d:%d %s", file, at.Line, at.Column, to)
}

//go:embed mutant.go.txt
var mutantSource string

// schemata builds the binary, or remembers it.
func (s setting) schemata(dir string) (made schemata, err error) {
	code, err := sources(dir, false)
	if err != nil {
		return made, err
	}
	texts, err := sources(dir, true)
	if err != nil {
		return made, err
	}
	memory := filepath.Join(s.memory, "schemata-"+digest(code, texts)+".json")
	text, err := os.ReadFile(memory)
	if err == nil {
		return made, json.Unmarshal(text, &made)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return made, err
	}
	made.Binary = strings.TrimSuffix(memory, ".json") + ".test"
	mutated, ids, err := s.mutateAll(dir, code)
	if err != nil {
		return made, err
	}
	made.IDs = ids
	work, err := os.MkdirTemp("", "schemata-*")
	if err != nil {
		return made, err
	}
	defer os.RemoveAll(work)
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, text := range mutated {
		overlay.Replace[filepath.Join(dir, name)] = filepath.Join(work, name)
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o600); err != nil {
			return made, err
		}
	}
	if text, err = json.Marshal(overlay); err != nil {
		return made, err
	}
	list := filepath.Join(work, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		return made, err
	}
	if out, err := command(dir, s.golang, "test", "-c", "-vet=off", "-overlay", list, "-o", made.Binary).CombinedOutput(); err != nil {
		return made, fmt.Errorf("all mutants at once: %w: %s", err, out[:min(len(out), 4000)])
	}
	out, _ := command(dir, made.Binary, "-test.timeout", "20m").CombinedOutput() // some may fail
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
			name, _, _ := strings.Cut(rest, " ")
			made.Unfit = append(made.Unfit, name)
		}
	}
	if text, err = json.Marshal(made); err != nil {
		return made, err
	}
	return made, os.WriteFile(memory, text, 0o600)
}

// mutateAll returns a package's files with all mutants in them.
func (s setting) mutateAll(dir string, code map[string]string) (mutated map[string]string, ids map[string]int, err error) {
	exports, err := s.exports(dir)
	if err != nil {
		return nil, nil, err
	}
	files := token.NewFileSet()
	var parsed []*ast.File
	names := sorted(code)
	for _, name := range names {
		f, err := parser.ParseFile(files, name, code[name], parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return nil, nil, err
		}
		parsed = append(parsed, f)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	importing := importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	checked, err := (&types.Config{Importer: importing}).Check(dir, files, parsed, info)
	if err != nil {
		return nil, nil, err
	}
	ids = map[string]int{}
	mutated = map[string]string{"zz_mutant.go": strings.Replace(mutantSource, "package mutant", "package "+checked.Name(), 1)}
	last := 0
	for i, f := range parsed {
		m := &mutation{files: files, info: info, own: checked, text: code[names[i]], name: names[i], imports: f.Imports, ids: ids, last: &last}
		m.walk(f)
		mutated[names[i]] = m.apply()
	}
	return mutated, ids, nil
}

// exports finds what has been compiled of what a package needs.
func (s setting) exports(dir string) (map[string]string, error) {
	out, err := command(dir, s.golang, "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".").Output()
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[path] = file
	}
	return exports, err
}

// mutation collects what is put into one file.
type mutation struct {
	files   *token.FileSet
	info    *types.Info
	own     *types.Package
	text    string
	name    string
	imports []*ast.ImportSpec
	ids     map[string]int
	last    *int // the highest of ids
	edits   []edit
}

// edit replaces text. Of those at one place the one with the lower order is first.
type edit struct {
	from, to, order int
	text            string
}

func (m *mutation) offset(p token.Pos) int { return m.files.Position(p).Offset }

func (m *mutation) source(n ast.Node) string { return m.text[m.offset(n.Pos()):m.offset(n.End())] }

// id makes a number for a mutant.
func (m *mutation) id(p token.Pos, to token.Token) int {
	at := m.files.Position(p)
	*m.last++
	id := *m.last
	m.ids[key(m.name, place{at.Line, at.Column}, to.String())] = id
	return id
}

// around puts text before and after a node; what is around an outer one stays
// outside of what is around an inner one, which is visited later.
func (m *mutation) around(n ast.Node, before, after string) {
	visit := len(m.edits) + 1
	m.edits = append(m.edits,
		edit{m.offset(n.Pos()), m.offset(n.Pos()), visit, before},
		edit{m.offset(n.End()), m.offset(n.End()), -visit, after})
}

func (m *mutation) instead(p token.Pos, tok token.Token, text string) {
	m.edits = append(m.edits, edit{m.offset(p), m.offset(p) + len(tok.String()), 0, text})
}

func (m *mutation) apply() string {
	slices.SortStableFunc(m.edits, func(a, b edit) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.order, b.order)) })
	var b strings.Builder
	at := 0
	for _, e := range m.edits {
		b.WriteString(m.text[at:e.from] + e.text)
		at = e.to
	}
	return b.String() + m.text[at:]
}

func (m *mutation) walk(n ast.Node) {
	var loop ast.Stmt // the one around, if there is one
	var visit func(n ast.Node) bool
	within := func(body ast.Node, inner ast.Stmt) {
		outer := loop
		loop = inner
		ast.Inspect(body, visit)
		loop = outer
	}
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl:
			return n.Tok != token.CONST
		case *ast.ArrayType:
			return false // its length is a constant
		case *ast.FuncLit:
			within(n.Body, nil)
			return false
		case *ast.ForStmt:
			for _, part := range []ast.Node{n.Init, n.Cond, n.Post} {
				if part != nil && part != ast.Stmt(nil) && part != ast.Expr(nil) {
					ast.Inspect(part, visit)
				}
			}
			within(n.Body, n)
			return false
		case *ast.RangeStmt:
			ast.Inspect(n.X, visit)
			within(n.Body, n)
			return false
		case *ast.BranchStmt:
			if (n.Tok == token.BREAK || n.Tok == token.CONTINUE) && n.Label == nil && loop != nil {
				other := opposite[n.Tok]
				if endless, ok := loop.(*ast.ForStmt); ok && endless.Cond == nil && other == token.BREAK {
					break // a function that ends with that loop would lack a return
				}
				m.around(n, fmt.Sprintf("if mutantLives(%d) { %s }; ", m.id(n.TokPos, other), other), "")
			}
		case *ast.BinaryExpr:
			m.binary(n)
		case *ast.UnaryExpr:
			if n.Op == token.SUB && m.isInteger(n) && m.canName(n) {
				m.around(n, fmt.Sprintf("mutantSign[%s](%d, ", m.typeOf(n), m.id(n.OpPos, token.ADD)), ")")
			}
			return m.info.Types[n].Value == nil
		case *ast.IncDecStmt:
			if m.isPlace(n.X) && m.isNumber(n.X) {
				m.around(n, fmt.Sprintf("mutantStep(%d, &(", m.id(n.TokPos, opposite[n.Tok])), map[token.Token]string{token.INC: "), 1)", token.DEC: "), -1)"}[n.Tok])
				m.instead(n.TokPos, n.Tok, "")
			}
		}
		return true
	}
	ast.Inspect(n, visit)
}

// opposite is what gremlins puts instead.
var opposite = map[token.Token]token.Token{
	token.BREAK: token.CONTINUE, token.CONTINUE: token.BREAK, token.INC: token.DEC, token.DEC: token.INC,
	token.LAND: token.LOR, token.LOR: token.LAND,
	token.EQL: token.NEQ, token.NEQ: token.EQL, token.LSS: token.GEQ, token.GEQ: token.LSS, token.GTR: token.LEQ, token.LEQ: token.GTR,
	token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL, token.REM: token.MUL,
}

// boundary is what gremlins puts besides.
var boundary = map[token.Token]token.Token{token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR}

func (m *mutation) binary(n *ast.BinaryExpr) {
	if m.info.Types[n].Value != nil && !m.isText(n) {
		return // a constant may have to be one
	}
	switch n.Op {
	case token.LAND, token.LOR:
		name := map[token.Token]string{token.LAND: "And", token.LOR: "Or"}[n.Op]
		m.around(n, fmt.Sprintf("mutant%s(%d, ", name, m.id(n.OpPos, opposite[n.Op])), " })")
		m.instead(n.OpPos, n.Op, ", func() bool { return ")
	case token.EQL, token.NEQ:
		m.around(n, "((", fmt.Sprintf(") != mutantLives(%d))", m.id(n.OpPos, opposite[n.Op])))
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		m.around(n, "(((", fmt.Sprintf(") != (mutantLives(%d) && (%s) == (%s))) != mutantLives(%d))",
			m.id(n.OpPos, boundary[n.Op]), m.source(n.X), m.source(n.Y), m.id(n.OpPos, opposite[n.Op])))
	case token.ADD, token.SUB, token.MUL, token.QUO, token.REM:
		if m.isText(n) {
			at := m.files.Position(n.OpPos)
			m.ids[key(m.name, place{at.Line, at.Column}, token.SUB.String())] = notViableID
		}
		if m.isNumber(n) {
			name := map[token.Token]string{token.ADD: "Add", token.SUB: "Sub", token.MUL: "Mul", token.QUO: "Quo", token.REM: "Rem"}[n.Op]
			m.around(n, fmt.Sprintf("mutant%s(%d, ", name, m.id(n.OpPos, opposite[n.Op])), ")")
			m.instead(n.OpPos, n.Op, ",")
		}
	}
}

// notViableID is that of mutants which do not compile: text minus text.
const notViableID = -1

func (m *mutation) isText(e ast.Expr) bool {
	basic, ok := m.info.Types[e].Type.Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsString != 0
}

func (m *mutation) isNumber(e ast.Expr) bool {
	return m.info.Types[e].Value == nil && m.isInteger(e)
}

func (m *mutation) isInteger(e ast.Expr) bool {
	t := m.info.Types[e].Type
	if t == nil {
		return false
	}
	basic, ok := t.Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsInteger != 0 && basic.Info()&types.IsUntyped == 0
}

// typeOf writes a type as this file does.
func (m *mutation) typeOf(e ast.Expr) string {
	return types.TypeString(m.info.Types[e].Type, func(p *types.Package) string {
		if p == m.own {
			return ""
		}
		return p.Name()
	})
}

// canName reports that this file imports what the type's name needs.
func (m *mutation) canName(e ast.Expr) bool {
	named, ok := m.info.Types[e].Type.(*types.Named)
	return !ok || named.Obj().Pkg() == m.own ||
		slices.ContainsFunc(m.imports, func(i *ast.ImportSpec) bool { return i.Path.Value == strconv.Quote(named.Obj().Pkg().Path()) })
}

// isPlace reports something that has an address.
func (m *mutation) isPlace(e ast.Expr) bool { return m.info.Types[e].Addressable() }
