package main

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sqlc passes a query's arguments in the order in which it numbered them. SQLite
// gives a plain ? the number after the largest so far, and ?N the number N. Where
// the two agree, sqlc's method is right. They do not where a slice, which becomes
// as many ? as it has elements, has numbered parameters behind it, is there twice,
// or stands elsewhere in the text than among the arguments, and where ? and ?N are
// mixed: then the repository runs sqlc's method with a text of its own.

// sliceMark is what sqlc's mark of a slice begins with: /*SLICE:name*/?
const sliceMark = "/*SLICE:"

// placeholder is a parameter where it stands in SQL text.
type placeholder struct {
	at     int
	text   string
	slice  string // its name, if it is one
	number int    // as written; 0 if none is
}

// argument is what sqlc's method passes.
type argument struct {
	slice string   // its name, if it is one
	path  ast.Expr // the slice in Go: a parameter of the method or a field of one
}

// slicing is how the text of a query is made whose slices have so many elements.
type slicing struct {
	parts  []string // between the placeholders
	params []int    // which argument each placeholder is, from 0; nil if only the slices are cut out, and come in order
	slices []string // the slices among the arguments in Go, "" for one that is none
}

// placeholders finds the parameters of SQL text.
func placeholders(sql string) (all []placeholder, err error) {
	for at, text := range tokens(sql) {
		switch {
		case strings.HasPrefix(text, sliceMark):
			name, _, _ := strings.Cut(text[len(sliceMark):], "*/")
			all = append(all, placeholder{at: at, text: text, slice: name})
		case text[0] == '?':
			n, err := strconv.Atoi(text[1:])
			if text != "?" && err != nil {
				return nil, fmt.Errorf("its SQL has the parameter %s, which is none", text)
			}
			all = append(all, placeholder{at: at, text: text, number: n})
		case text[0] == ':' || text[0] == '@' || text[0] == '$':
			return nil, leftBehind(text, text[1:])
		case strings.EqualFold(text, "sqlc"):
			if call := unseen.FindStringSubmatch(sql[at:]); call != nil {
				return nil, leftBehind(call[0], call[1])
			}
		}
	}
	return all, nil
}

// unseen is a parameter that sqlc has not replaced.
var unseen = regexp.MustCompile(`(?i)^sqlc *\. *(?:arg|narg|slice) *\( *'?(\w*)'? *\)`)

// leftBehind is the error for a parameter that sqlc has not seen.
func leftBehind(text, name string) error {
	name = cmp.Or(name, "x")
	return fmt.Errorf("%s is left in its SQL: sqlc finds no parameters in DO UPDATE, HAVING, ORDER BY, FILTER, OVER and behind ESCAPE; "+
		"use excluded in DO UPDATE, and else %s of WITH given AS (SELECT CAST(sqlc.arg(%[2]s) AS TEXT) AS %[2]s)", text, name)
}

// setParams compares the parameters of a query's SQL with what sqlc's method
// passes. Nothing is known of a method that is not of sqlc's form.
func (q *query) setParams(sql string, method *ast.FuncDecl) error {
	marks, err := placeholders(sql)
	if err != nil {
		return err
	}
	args, known := arguments(method)
	sliced := slices.ContainsFunc(marks, func(m placeholder) bool { return m.slice != "" })
	if !known {
		if sliced {
			return errors.New("its method does not fill its slices as sqlc does; run sqlc generate again")
		}
		return nil
	}
	for i, m := range marks {
		if m.slice != "" && sliceOf(args, m.slice) < 0 {
			marks[i].slice = "" // somebody's own comment
		}
	}
	params, err := match(sql, marks, args)
	if err != nil {
		return err
	}
	q.renumbered = !agree(sql, marks, args, params)
	if !q.renumbered {
		params = nil
	}
	q.text = withOneElement(sql, marks, params)
	if !slices.ContainsFunc(args, func(a argument) bool { return a.slice != "" }) {
		return nil
	}
	q.sliced = &slicing{params: params}
	from := 0
	for _, m := range marks {
		if q.renumbered || m.slice != "" {
			q.sliced.parts = append(q.sliced.parts, sql[from:m.at])
			from = m.at + len(m.text)
		}
	}
	q.sliced.parts = append(q.sliced.parts, sql[from:])
	for _, a := range args {
		path, ok := q.pathOf(a.path, method)
		switch {
		case a.slice == "":
			path = ""
		case !ok:
			return errors.New("its method does not fill its slices as sqlc does; run sqlc generate again")
		}
		q.sliced.slices = append(q.sliced.slices, path)
	}
	return nil
}

// withOneElement is the SQL that runs if each slice has one element: its placeholders
// as they are, or numbered by params.
func withOneElement(sql string, marks []placeholder, params []int) string {
	var b strings.Builder
	from := 0
	for i, m := range marks {
		b.WriteString(sql[from:m.at])
		switch {
		case params != nil:
			fmt.Fprintf(&b, "?%d", params[i]+1)
		case m.slice != "":
			b.WriteByte('?')
		default:
			b.WriteString(m.text)
		}
		from = m.at + len(m.text)
	}
	b.WriteString(sql[from:])
	return b.String()
}

// match tells which argument each placeholder is. sqlc orders arguments by number,
// but where there is a plain ? by where they stand.
func match(sql string, marks []placeholder, args []argument) (params []int, err error) {
	plain := slices.ContainsFunc(marks, func(m placeholder) bool { return m.slice == "" && m.number == 0 })
	var scalars []int // the arguments that are no slices
	for i, a := range args {
		if a.slice == "" {
			scalars = append(scalars, i)
		}
	}
	first := make(map[int]int) // by number
	again := false
	taken := 0
	for _, m := range marks {
		param, before := 0, false
		switch {
		case m.slice != "":
			param = sliceOf(args, m.slice)
			if before := strings.TrimSpace(sql[:m.at]); before != "" && strings.ContainsAny(before[len(before)-1:], "=<>|&+-~%") {
				return nil, fmt.Errorf("its slice %s stands where SQL takes one value; write IN (sqlc.slice('%[1]s'))", m.slice)
			}
		case !plain:
			param = m.number - 1
			taken = max(taken, m.number)
			if param < len(args) && args[param].slice != "" {
				return nil, fmt.Errorf("%s is a slice and a single value in it; give one of them another name", args[param].slice)
			}
		default:
			if param, before = first[m.number]; before && m.number > 0 {
				again = true
				break
			}
			if param = len(args); taken < len(scalars) {
				param = scalars[taken]
			}
			taken++
			first[m.number] = param
		}
		params = append(params, param)
	}
	if !plain && taken > len(args) || plain && taken != len(scalars) {
		return nil, fmt.Errorf("sqlc counts %d parameters in its SQL, which has others: it finds none in DO UPDATE and some other clauses, and makes two of a name that is there twice beside a ?; "+
			"write each as sqlc.arg, and in DO UPDATE use excluded", len(args))
	}
	if plain && again && shuffled(sql) {
		return nil, errors.New("it mixes ? with a name that is there twice, and sqlc may take one for the other; write each as sqlc.arg")
	}
	return params, nil
}

// sliceOf is which argument a slice is, -1 if it is none.
func sliceOf(args []argument, name string) int {
	return slices.IndexFunc(args, func(a argument) bool { return a.slice == name })
}

// shuffled reports a text that sqlc may not read from front to back.
func shuffled(sql string) bool {
	for word := range words(sql) {
		if strings.EqualFold(word, "WITH") || strings.EqualFold(word, "OFFSET") {
			return true
		}
	}
	return false
}

// agree reports that SQLite numbers the placeholders as sqlc's arguments come,
// however long the slices are, and that sqlc finds the slices where they are.
func agree(sql string, marks []placeholder, args []argument, params []int) bool {
	next := 0 // the argument that a plain ? is given now
	seen := make(map[int]bool)
	for i, m := range marks {
		param := params[i]
		switch {
		case m.slice != "" && (seen[param] || strings.Index(sql, m.text) != m.at):
			return false
		case m.number == 0 && param != next:
			return false
		case m.number > 0 && (param != m.number-1 || slices.ContainsFunc(args[:param], func(a argument) bool { return a.slice != "" })):
			return false
		}
		seen[param] = true
		next = max(next, param+1)
	}
	return true
}

// arguments reads what sqlc's method passes with its SQL.
func arguments(method *ast.FuncDecl) (args []argument, known bool) {
	if method == nil || method.Body == nil {
		return nil, false
	}
	for _, s := range method.Body.List {
		if slice, ok := filled(s); ok {
			args = append(args, slice)
			continue
		}
		ast.Inspect(s, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || known {
				return !known
			}
			switch name := calledName(call); {
			case name == "append" && len(call.Args) == 2 && isNamed(call.Args[0], "queryParams"):
				args = append(args, argument{path: call.Args[1]})
			case passes[name] > 0 && len(call.Args) >= passes[name]:
				known = true
				if call.Ellipsis == token.NoPos {
					for _, a := range call.Args[passes[name]:] {
						args = append(args, argument{path: a})
					}
				}
			}
			return true
		})
	}
	return args, known
}

// passes are the methods that sqlc's run SQL with, and what they take before the
// arguments: those of a DBTX, and those of emit_prepared_queries.
var passes = map[string]int{"ExecContext": 2, "QueryContext": 2, "QueryRowContext": 2, "exec": 3, "query": 3, "queryRow": 3}

// filled reads the statement that fills a slice.
func filled(s ast.Stmt) (slice argument, ok bool) {
	choice, isIf := s.(*ast.IfStmt)
	if !isIf {
		return slice, false
	}
	if more, ok := choice.Cond.(*ast.BinaryExpr); ok {
		if length, ok := more.X.(*ast.CallExpr); ok && calledName(length) == "len" && len(length.Args) == 1 {
			slice.path = length.Args[0]
		}
	}
	ast.Inspect(choice.Body, func(n ast.Node) bool {
		if mark, isText := n.(ast.Expr); isText && slice.slice == "" {
			text, _ := fold(mark)
			if name, ok := strings.CutPrefix(text, sliceMark); ok {
				slice.slice = strings.TrimSuffix(name, "*/?")
			}
		}
		return true
	})
	return slice, slice.path != nil && slice.slice != ""
}

func calledName(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func isNamed(e ast.Expr, name string) bool {
	ident, ok := e.(*ast.Ident)
	return ok && ident.Name == name
}

// pathOf is what sqlc's method passes as the repository's method says it, where
// parameters may have other names.
func (q *query) pathOf(path ast.Expr, method *ast.FuncDecl) (_ string, ok bool) {
	field := ""
	if s, ok := path.(*ast.SelectorExpr); ok {
		path, field = s.X, "."+s.Sel.Name
	}
	i := -1 // the context
	for _, p := range method.Type.Params.List {
		for _, name := range p.Names {
			if i >= 0 && i < len(q.params) && isNamed(path, name.Name) {
				return q.params[i].name + field, true
			}
			i++
		}
	}
	return "", false
}
