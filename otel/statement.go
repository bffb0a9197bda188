package sqlaneotel

import (
	"slices"
	"strings"
)

// statement is what the text of a query tells of it. The text may be one that SQLite
// refuses: nothing here judges it.
type statement struct {
	verb    string // of its first statement, in upper case
	summary string // the verb and the tables, in their order
	table   string // the one table that it names; "" if there are others, or there is none
}

// maxSummary is how long the conventions let a summary be.
const maxSummary = 255

// statementOf reads the text.
func statementOf(sql string) (s statement) {
	var tables []string
	common := false       // it begins with common table expressions
	wants, depth := "", 0 // a keyword after which a table is named
	last := token{}
	for t := range tokens(sql) {
		word := ""
		if t.kind == wordToken {
			word = strings.ToUpper(t.text)
		}
		switch {
		case t.text == "(":
			wants = "" // a subquery, or columns
			depth++
		case t.text == ")":
			depth--
		case t.text == ";":
			wants, common = "", common || s.verb != "" // what follows is another statement
		case word == "WITH" && s.verb == "":
			common = true
		case s.verb == "" && depth == 0 && word != "" && (!common || slices.Contains(verbs, word)):
			s.verb = word
			if word == "UPDATE" || word == "PRAGMA" || word == "REINDEX" || word == "ANALYZE" {
				wants = word
			}
		case word == "FROM" || word == "JOIN" || word == "INTO" || word == "TABLE" || word == "VIEW":
			wants = word
		case last.text == "." && last.of != "" && len(tables) > 0 && (word != "" || t.kind == quotedToken):
			tables[len(tables)-1] = name(t) // what came before was a schema
		case wants != "" && slices.Contains(beforeTables, word):
		case wants != "" && (word != "" || t.kind == quotedToken):
			tables, wants = append(tables, name(t)), ""
			t.of = "table"
		}
		if t.text == "." {
			t.of = last.of
		}
		last = t
	}
	var distinct []string
	s.summary = s.verb
	for _, table := range tables {
		if len(s.summary)+1+len(table) > maxSummary {
			break
		}
		s.summary += " " + table
		if !slices.ContainsFunc(distinct, func(other string) bool { return strings.EqualFold(other, table) }) {
			distinct = append(distinct, table)
		}
	}
	if len(distinct) == 1 && !common && s.verb != "PRAGMA" {
		s.table = distinct[0]
	}
	return s
}

// verbs are what common table expressions come before.
var verbs = []string{"SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "VALUES"}

// beforeTables may stand between a keyword and the table.
var beforeTables = []string{"OR", "ROLLBACK", "ABORT", "FAIL", "IGNORE", "REPLACE", "IF", "NOT", "EXISTS"}

// name is an identifier without quotes.
func name(t token) string {
	if t.kind == quotedToken && len(t.text) > 1 {
		return t.text[1 : len(t.text)-1]
	}
	return t.text
}

// withoutLiterals is the text with ? for each literal, and without comments.
func withoutLiterals(sql string) string {
	var b strings.Builder
	for t := range tokens(sql) {
		switch t.kind {
		case literalToken:
			b.WriteByte('?')
		default:
			b.WriteString(t.text)
		}
		if t.spaced {
			b.WriteByte(' ')
		}
	}
	return strings.TrimSpace(b.String())
}
