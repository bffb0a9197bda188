package sqlite

import (
	"regexp"
	"strings"
)

// Normalize makes one line of a statement, without comments, and without what may be a
// value in it: literals become "?". Double quotes are a text's if SQLite finds no
// such name (https://www.sqlite.org/quirks.html#dblquote), so they are kept only where
// nothing but a name can stand: beside a period and behind words such as FROM or AS.
// Several in a row become "?, …", and so do rows of
// them. What is longer than limit bytes is cut.
func Normalize(sql string, limit int) string {
	n := normalizer{limit: limit}
	before, files := "", FirstWord(sql+" ") == "VACUUM" // behind whose INTO stands a text
	for i := 0; i < len(sql) && n.out.Len() < limit; {
		kind, end := token(sql, i)
		text := sql[i:end]
		switch c := sql[i]; {
		case kind == spaceToken:
			n.space = true
			i = end
			continue
		case c == '\'':
			n.value()
		case c == '"':
			if n.named || strings.HasPrefix(sql[end:], ".") {
				n.put(text)
			} else {
				n.put(`"?"`)
			}
		case kind == wordToken && len(text) == 1 && (c == 'x' || c == 'X') && strings.HasPrefix(sql[end:], "'"):
			end = quoteEnd(sql, end, '\'')
			n.value()
		case c == '?':
			for end < len(sql) && isDigit(sql[end]) {
				end++
			}
			n.value()
		case isDigit(c), c == '.' && i+1 < len(sql) && isDigit(sql[i+1]):
			end = numberEnd(sql, i)
			n.value()
		default:
			n.put(text)
		}
		word := ""
		if kind == wordToken {
			word = strings.ToUpper(text)
		}
		n.named = text == "." || beforeName[word] && !(word == "FROM" && before == "DISTINCT") && !files
		before = word
		i = end
	}
	return n.text()
}

// rows are those of values, one after the other.
var rows = regexp.MustCompile(`(\(\?(?:, …)?\))(?:, ?\(\?(?:, …)?\))+`)

// beforeName are words behind which a name stands, and nothing else in quotes.
var beforeName = map[string]bool{"AS": true, "FROM": true, "JOIN": true, "INTO": true, "UPDATE": true, "TABLE": true, "INDEX": true, "VIEW": true, "TRIGGER": true}

type normalizer struct {
	out   strings.Builder
	limit int
	space bool  // There is space before the next token.
	named bool  // It is a name.
	list  uint8 // The last tokens were: 1 a value, 2 a value and a comma, 3 a list of values, 4 a list and a comma.
}

func (n *normalizer) put(text string) {
	switch {
	case text == "," && (n.list == 1 || n.list == 3):
		n.list++
		n.space = false
		return
	case n.list == 2, n.list == 4:
		n.space = false
		n.write(",")
		n.space = true
	}
	n.list = 0
	n.write(text)
}

// value puts a value, and makes a list of several in a row.
func (n *normalizer) value() {
	switch n.list {
	case 2:
		n.out.WriteString(", …")
		n.list = 3
	case 4:
		n.list = 3
	default:
		n.write("?")
		n.list = 1
	}
	n.space = false
}

func (n *normalizer) write(text string) {
	if n.space && n.out.Len() > 0 {
		n.out.WriteByte(' ')
	}
	n.space = false
	n.out.WriteString(text)
}

// text is what was put, at most as long as it may be.
func (n *normalizer) text() string {
	text, cut := n.out.String(), ""
	if len(text) > n.limit {
		text, cut = strings.ToValidUTF8(text[:n.limit], ""), "…"
	}
	if strings.Contains(text, "),") {
		text = rows.ReplaceAllString(text, "$1, …")
	}
	return text + cut
}

// numberEnd returns where the number at sql[i] ends.
// See https://www.sqlite.org/syntax/numeric-literal.html.
func numberEnd(sql string, i int) int {
	for ; i < len(sql) && (IsWord(sql[i]) || sql[i] == '.'); i++ {
		if c := sql[i]; (c == 'e' || c == 'E') && i+1 < len(sql) && (sql[i+1] == '+' || sql[i+1] == '-') {
			i++
		}
	}
	return i
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
