package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/scanner"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// sqlc's methods have a fixed form. What varies in one is read here, then the form is
// written with that in it, and compared: a method that is of another form, because
// another version of sqlc or somebody's hand has written it, runs as it is.

// body is what sqlc's method does.
type body struct {
	verb    string // one, many, exec, execrows, execlastid, execresult
	pointer bool   // Its result is a pointer to what it scans, or pointers.
	empty   bool   // No rows are an empty slice instead of nil.
	wrapped bool   // Its errors name the query.
	binds   []bind
	kind    string   // the type that it scans, in Go
	columns []column // what it scans into
}

// bind is an argument.
type bind struct {
	slice string // It is each element of this slice, called v.
	call  string // the method of a Call that adds it
}

// column is a destination.
type column struct {
	field string // behind the row's variable: ".ID", ".Item.ID", or "" if it is the row
	read  string // see checked.reader
}

// source is what sqlc's method is made from.
type source struct {
	query, queries, ctx string // the names of the method, its receiver and its context
	call                *ast.CallExpr
	text                string // the name of its SQL
	prepared            bool   // emit_prepared_queries
	args                []argument
	row                 string // the name of the row's variable,
	kind                string // and its type
	targets             []ast.Expr
}

// setBody reads sqlc's method. The query runs sqlc's own method if that has another
// form, for the reason that is returned.
func (q *query) setBody(method *ast.FuncDecl, texts map[string]string, sql string, c *checked) error {
	s, err := sourceOf(method)
	if err != nil {
		return err
	}
	if texts[s.text] != sql {
		return errors.New("it does not run the text that is called like it")
	}
	b := s.match(method)
	if b == nil {
		return errors.New("its method has not the form that repogen knows of sqlc")
	}
	for _, a := range s.args {
		path, ok := q.pathOf(a.path, method)
		if !ok {
			return fmt.Errorf("it passes %s, which is no parameter", types.ExprString(a.path))
		}
		t, err := c.typeOf(a.path)
		if err != nil {
			return err
		}
		if a.slice == "" {
			b.binds = append(b.binds, bind{call: c.binder(path, t)})
			continue
		}
		elements, ok := t.Underlying().(*types.Slice)
		if !ok {
			return fmt.Errorf("%s is no slice", path)
		}
		b.binds = append(b.binds, bind{slice: path, call: c.binder("v", types.Unalias(elements.Elem()))})
	}
	for _, target := range s.targets {
		at := target.(*ast.UnaryExpr).X
		t, err := c.typeOf(at)
		if err != nil {
			return err
		}
		read, err := c.reader(t)
		if err != nil {
			return err
		}
		field := strings.TrimPrefix(types.ExprString(at), s.row)
		for _, name := range strings.Split(field, ".")[1:] {
			if !ast.IsExported(name) {
				return fmt.Errorf("it scans into %s, which other packages cannot name", name)
			}
		}
		b.columns = append(b.columns, column{field, read})
	}
	kind, ok := q.result, true
	if b.verb == "many" {
		kind, ok = strings.CutPrefix(kind, "[]")
	}
	if ok && b.pointer {
		kind, ok = strings.CutPrefix(kind, "*")
		ok = ok && b.columns[0].field != ""
	}
	if !ok {
		return fmt.Errorf("its result %s is not what it scans", q.result)
	}
	b.kind = kind
	q.body = b
	return nil
}

// sourceOf finds what varies in sqlc's methods.
func sourceOf(method *ast.FuncDecl) (*source, error) {
	if method == nil || method.Body == nil || len(method.Recv.List[0].Names) != 1 || len(method.Type.Params.List[0].Names) != 1 {
		return nil, errors.New("it has no method of sqlc's")
	}
	s := &source{query: method.Name.Name, queries: method.Recv.List[0].Names[0].Name, ctx: method.Type.Params.List[0].Names[0].Name}
	var scans *ast.CallExpr
	vars := make(map[string]ast.Expr)
	ast.Inspect(method.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if name := calledName(n); s.call == nil && passes[name] > 0 && len(n.Args) >= passes[name] {
				s.call, s.prepared = n, passes[name] == 3
			} else if name == "Scan" {
				scans = n
			}
		case *ast.ValueSpec:
			vars[n.Names[0].Name] = n.Type
		}
		return true
	})
	if s.call == nil {
		return nil, errors.New("its method runs nothing on the DBTX")
	}
	s.args, _ = arguments(method)
	text := s.call.Args[len(s.head())]
	if s.call.Ellipsis != token.NoPos {
		if first, ok := method.Body.List[0].(*ast.AssignStmt); ok && len(first.Rhs) == 1 {
			text = first.Rhs[0]
		}
	}
	s.text = types.ExprString(text)
	if scans == nil {
		return s, nil
	}
	for _, target := range scans.Args {
		at, ok := target.(*ast.UnaryExpr)
		if !ok || at.Op != token.AND {
			return nil, errors.New("it scans into what is no variable")
		}
		s.row, _, _ = strings.Cut(types.ExprString(at.X), ".")
	}
	s.targets = scans.Args
	if vars[s.row] == nil {
		return nil, errors.New("it scans into what is no variable of its own")
	}
	s.kind = types.ExprString(vars[s.row])
	return s, nil
}

// head are the arguments of the call before the SQL.
func (s *source) head() []string {
	if s.prepared {
		return []string{s.ctx, types.ExprString(s.call.Args[1])}
	}
	return []string{s.ctx}
}

// match finds the form that the method has; nil if it has none.
func (s *source) match(method *ast.FuncDecl) *body {
	has := textOf(method.Body)
	for _, verb := range []string{"one", "many", "exec", "execrows", "execlastid", "execresult"} {
		for options := range 8 {
			b := &body{verb: verb, pointer: options&1 > 0, empty: options&2 > 0, wrapped: options&4 > 0}
			if slices.Equal(tokensOf("{"+s.write(b)+"}"), tokensOf(has)) {
				return b
			}
		}
	}
	return nil
}

func textOf(n ast.Node) string {
	var b strings.Builder
	_ = format.Node(&b, token.NewFileSet(), n) // it was parsed
	return b.String()
}

// tokensOf are the tokens of Go, but for those that depend on where lines end.
func tokensOf(text string) (all []string) {
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(text))
	s.Init(file, []byte(text), func(token.Position, string) {}, 0)
	for {
		_, t, literal := s.Scan()
		switch {
		case t == token.EOF:
			return all
		case t == token.SEMICOLON && literal == "\n":
			continue
		case t == token.RPAREN && len(all) > 0 && all[len(all)-1] == ",":
			all = all[:len(all)-1]
		}
		if literal == "" || t == token.SEMICOLON {
			literal = t.String()
		}
		all = append(all, literal)
	}
}

// write writes a method's body as sqlc does.
func (s *source) write(b *body) string {
	failed := "err"
	if b.wrapped {
		failed = fmt.Sprintf("fmt.Errorf(%q, err)", "query "+s.query+": %w")
	}
	check := func(result string) string { return "; err != nil {\nreturn " + result + ", " + failed + "\n}\n" }
	wrap := ""
	if b.wrapped {
		wrap = "if err != nil {\nerr = " + failed + "\n}\n"
	}
	row, kind := s.row, s.kind
	if b.pointer {
		row, kind = "&"+row, "*"+kind
	}
	items := "var items []" + kind + "\n"
	if b.empty {
		items = "items := []" + kind + "{}\n"
	}
	declared := "var " + s.row + " " + s.kind + "\n"
	var targets []string
	for _, t := range s.targets {
		targets = append(targets, types.ExprString(t))
	}
	scan := ".Scan(" + strings.Join(targets, ", ") + ")"
	text, call := s.writeCall(b.verb)
	switch b.verb {
	case "one":
		return text + "row := " + call + declared + "err := row" + scan + "\n" + wrap + "return " + row + ", err\n"
	case "many":
		return text + "rows, err := " + call + "if err != nil {\nreturn nil, " + failed + "\n}\ndefer rows.Close()\n" + items +
			"for rows.Next() {\n" + declared + "if err := rows" + scan + check("nil") + "items = append(items, " + row + ")\n}\n" +
			"if err := rows.Close()" + check("nil") + "if err := rows.Err()" + check("nil") + "return items, nil\n"
	case "exec":
		return text + "_, err := " + call + wrap + "return err\n"
	case "execresult":
		if b.wrapped {
			return text + "result, err := " + call + wrap + "return result, err\n"
		}
		return text + "return " + call
	case "execlastid":
		return text + "result, err := " + call + "if err != nil {\nreturn 0, " + failed + "\n}\nreturn result.LastInsertId()\n"
	}
	return text + "result, err := " + call + "if err != nil {\nreturn 0, " + failed + "\n}\nreturn result.RowsAffected()\n"
}

// writeCall writes what makes the SQL and its arguments, and what runs it.
func (s *source) writeCall(verb string) (text, call string) {
	on := map[string][2]string{"one": {".db.QueryRowContext", ".queryRow"}, "many": {".db.QueryContext", ".query"}}[verb]
	if on[0] == "" {
		on = [2]string{".db.ExecContext", ".exec"}
	}
	run := on[0]
	if s.prepared {
		run = on[1]
	}
	sql := s.text
	var passed []string
	for _, a := range s.args {
		passed = append(passed, types.ExprString(a.path))
	}
	if s.call.Ellipsis != token.NoPos {
		text = "query := " + s.text + "\nvar queryParams []interface{}\n"
		for i, a := range s.args {
			if a.slice == "" {
				text += "queryParams = append(queryParams, " + passed[i] + ")\n"
				continue
			}
			const replaced = "query = strings.Replace(query, %q, "
			mark := sliceMark + a.slice + "*/?"
			text += "if len(" + passed[i] + ") > 0 {\nfor _, v := range " + passed[i] + " {\nqueryParams = append(queryParams, v)\n}\n" +
				fmt.Sprintf(replaced, mark) + "strings.Repeat(\",?\", len(" + passed[i] + "))[1:], 1)\n} else {\n" +
				fmt.Sprintf(replaced, mark) + "\"NULL\", 1)\n}\n"
		}
		sql, passed = "query", []string{"queryParams..."}
	}
	return text, s.queries + run + "(" + strings.Join(append(append(s.head(), sql), passed...), ", ") + ")\n"
}
