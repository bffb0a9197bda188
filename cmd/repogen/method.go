package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Const is the constant that is the query's text, or the function that makes it of the
// lengths of its slices.
func (q query) Const() string {
	name := "sql" + q.name
	if q.sliced == nil {
		return "const " + name + " = " + strconv.Quote(q.text)
	}
	var lengths []string
	var widths []string // of what is put between the parts
	for _, slice := range q.sliced.slices {
		switch {
		case slice != "":
			n := fmt.Sprintf("n%d", len(lengths)+1)
			lengths, widths = append(lengths, n), append(widths, n)
		case q.sliced.params != nil:
			widths = append(widths, "1")
		}
	}
	call := fmt.Sprintf("native.Spread(%#v, ", q.sliced.parts)
	if q.sliced.params != nil {
		call = fmt.Sprintf("native.Numbered(%#v, %#v, ", q.sliced.parts, q.sliced.params)
	}
	return "func " + name + "(" + strings.Join(lengths, ", ") + " int) string {\n\treturn " + call + strings.Join(widths, ", ") + ")\n}\n"
}

// Text is the query's SQL in Go, each slice with one element.
func (q query) Text() string {
	return q.textWith(func(string) string { return "1" })
}

func (q query) textWith(length func(slice string) string) string {
	if q.sliced == nil {
		return "sql" + q.name
	}
	var lengths []string
	for _, slice := range q.sliced.slices {
		if slice != "" {
			lengths = append(lengths, length(slice))
		}
	}
	return "sql" + q.name + "(" + strings.Join(lengths, ", ") + ")"
}

// Body is the method's body.
func (v view) Body(q query) string {
	b := q.body
	if b == nil {
		return q.sqlcs(v.Gen())
	}
	begin, chain := q.begin()
	switch b.verb {
	case "one":
		declare, at := "", "&i"
		if b.pointer {
			declare, at = "i := new("+b.kind+")\n", "i"
		}
		run := ".One(ctx, " + strconv.Itoa(len(b.columns)) + ")\n"
		if begin == "" {
			run = "c := " + chain + run
		} else {
			run = begin + "c" + run
		}
		return declare + run + v.reads.statement(b, at) + "return i, c.End()"
	case "many":
		rows := "[]" + b.row() + "(nil)"
		if b.empty {
			rows = "[]" + b.row() + "{}"
		}
		return "return native.All" + b.pointers() + "(ctx, " + q.call() + ", " + strconv.Itoa(len(b.columns)) + ", " + rows + ", " + v.reads.function(b) + ")"
	}
	run := map[string]string{"exec": "Exec", "execrows": "ExecRows", "execlastid": "ExecLastID", "execresult": "ExecResult"}[b.verb]
	if begin != "" {
		chain = "c"
	}
	return begin + "return " + chain + "." + run + "(ctx)"
}

// sqlcs is the body of a method that runs sqlc's own.
func (q query) sqlcs(gen string) string {
	db := "q.db"
	if q.renumbered {
		db = "native.WithText(q.db, " + q.textWith(lengthOf) + ")"
	}
	call := gen + ".New(" + db + ")." + q.name + "(" + q.Args() + ")"
	if q.result == "" {
		return "return dberr.Wrap(" + strconv.Quote(q.name) + ", " + call + ")"
	}
	return "result, err := " + call + "\nreturn result, dberr.Wrap(" + strconv.Quote(q.name) + ", err)"
}

func lengthOf(slice string) string { return "len(" + slice + ")" }

// row is the type of a row as it is returned.
func (b *body) row() string {
	if b.pointer {
		return "*" + b.kind
	}
	return b.kind
}

// pointers is what the functions are called by that return pointers.
func (b *body) pointers() string {
	if b.pointer {
		return "Pointers"
	}
	return ""
}

// begin is what makes the Call: one expression, or statements that leave it in c where
// there are slices.
func (q query) begin() (statements, chain string) {
	links := []string{"q.db.Call(" + strconv.Quote(q.name) + ", " + q.textWith(lengthOf) + ")"}
	if q.body.wrapped {
		links = append(links, "Wrapped()")
	}
	if q.sliced == nil {
		for _, b := range q.body.binds {
			links = append(links, b.call)
		}
		return "", chained(links)
	}
	statements = "c := " + strings.Join(links, ".") + "\n"
	for _, b := range q.body.binds {
		call := "c." + b.call + "\n"
		if b.slice != "" {
			call = "for _, v := range " + b.slice + " {\n" + call + "}\n"
		}
		statements += call
	}
	return statements, "c"
}

// chained joins calls to one expression, in lines of moderate length.
func chained(links []string) string {
	const most = 110
	var b strings.Builder
	length := 0
	for i, link := range links {
		if i > 0 {
			b.WriteByte('.')
			if length+len(link) > most {
				b.WriteByte('\n')
				length = 0
			}
		}
		b.WriteString(link)
		length += len(link) + 1
	}
	return b.String()
}

// HasSeq tells whether there is an iterator over the query's rows.
func (q query) HasSeq() bool { return q.body != nil && q.body.verb == "many" && !q.noSeq }

// HasCall tells whether the Call of a query for many is made by a method of its own,
// which is long enough to be written once, for the iterator too.
func (q query) HasCall() bool {
	if q.body == nil || q.body.verb != "many" {
		return false
	}
	statements, chain := q.begin()
	return statements != "" || len(chain) > 90
}

// call is the Call of a query for many.
func (q query) call() string {
	if !q.HasCall() {
		_, chain := q.begin()
		return chain
	}
	return "q.call" + q.name + "(" + q.ownArgs() + ")"
}

// CallMethod is that method's signature and body.
func (q query) CallMethod() string {
	begin, chain := q.begin()
	return "call" + q.name + "(" + strings.Join(q.ownParams(), ", ") + ") *native.Call {\n" + begin + "return " + chain + "\n}"
}

// SeqDoc is the iterator's comment.
func (q query) SeqDoc() string {
	return "// " + q.name + "Seq is " + q.name + " a row at a time. Leaving the loop ends the query; an error comes last."
}

// SeqResult is what the iterator is.
func (q query) SeqResult() string { return "iter.Seq2[" + q.body.row() + ", error]" }

// SeqBody is the iterator's body.
func (v view) SeqBody(q query) string {
	b := q.body
	return "return native.Seq" + b.pointers() + "(ctx, func() *native.Call { return " + q.call() + " }, " + strconv.Itoa(len(b.columns)) + ", " + v.reads.function(b) + ")"
}

// ownArgs is the argument list without the context.
func (q query) ownArgs() string { return strings.TrimPrefix(strings.TrimPrefix(q.Args(), "ctx"), ", ") }

// readers are the functions that read rows: one for each type and order of columns.
type readers struct {
	names map[string]string // by what they read
	all   []string          // in Go
}

func newReaders(queries []query) *readers {
	r := &readers{names: make(map[string]string)}
	var used []string
	for _, q := range queries {
		if q.body == nil || len(q.body.columns) == 0 || q.body.columns[0].field == "" || r.names[q.body.key()] != "" {
			continue
		}
		kind := "read" + q.body.kind[strings.LastIndexByte(q.body.kind, '.')+1:]
		name := kind
		for n := 2; slices.Contains(used, name); n++ {
			name = kind + strconv.Itoa(n)
		}
		used = append(used, name)
		r.names[q.body.key()] = name
		r.all = append(r.all, "func "+name+"(c *native.Call, i *"+q.body.kind+") {\n"+q.body.reads()+"}")
	}
	return r
}

// key is what a function that reads the row does.
func (b *body) key() string { return b.kind + "\n" + b.reads() }

// reads are the statements that read a row at i.
func (b *body) reads() string {
	var s strings.Builder
	for _, c := range b.columns {
		s.WriteString(c.statement())
	}
	return s.String()
}

func (c column) statement() string {
	at := "&i" + c.field
	switch {
	case c.read == "Scan":
		return "c.Scan(i" + c.field + ".Scan)\n"
	case c.read[0] == '*':
		return "native.Pointer(c, " + at + ", native." + c.read[1:] + ")\n"
	}
	return "native." + c.read + "(c, " + at + ")\n"
}

// statement reads a row where at points.
func (r *readers) statement(b *body, at string) string {
	if b.columns[0].field == "" {
		return b.reads()
	}
	return r.names[b.key()] + "(c, " + at + ")\n"
}

// function is the function that reads a row.
func (r *readers) function(b *body) string {
	c := b.columns[0]
	switch {
	case c.field != "":
		return r.names[b.key()]
	case c.read == "Scan":
		return "native.Scanner[" + b.kind + "]"
	case c.read[0] == '*':
		return "native.OrNil(" + function(c.read[1:], b.kind[1:]) + ")"
	}
	return function(c.read, b.kind)
}

func function(read, kind string) string {
	if read == "Bool" || read == "Time" || read == "Moment" { // of one type alone
		return "native." + read
	}
	return "native." + read + "[" + kind + "]"
}

// Reads are the functions that read rows, in Go.
func (v view) Reads() []string { return v.reads.all }
