package sqlaneotel

import (
	"iter"
	"strings"
)

// token is a piece of SQL.
type token struct {
	kind   tokenKind
	text   string
	spaced bool   // space or a comment follows
	of     string // for statementOf
}

type tokenKind uint8

const (
	otherToken   tokenKind = iota
	wordToken              // a keyword or an identifier
	quotedToken            // an identifier in quotes
	literalToken           // a text, a BLOB or a number
)

// tokens cuts SQL (https://www.sqlite.org/draft/tokenreq.html), without space and
// comments.
func tokens(sql string) iter.Seq[token] {
	return func(yield func(token) bool) {
		for i := skipSpace(sql, 0); i < len(sql); {
			t := next(sql[i:])
			i += len(t.text)
			after := skipSpace(sql, i)
			t.spaced = after > i
			i = after
			if !yield(t) {
				return
			}
		}
	}
}

// skipSpace returns where space and comments end that begin there.
func skipSpace(sql string, i int) int {
	for i < len(sql) {
		switch rest := sql[i:]; {
		case isSpace(rest[0]):
			i++
		case strings.HasPrefix(rest, "--"):
			i += through(rest, 2, "\n")
		case strings.HasPrefix(rest, "/*"):
			i += through(rest, 2, "*/")
		default:
			return i
		}
	}
	return i
}

// through returns where the end is over that is looked for from there on.
func through(s string, from int, end string) int {
	if n := strings.Index(s[from:], end); n >= 0 {
		return from + n + len(end)
	}
	return len(s)
}

// next is the token at the beginning of s.
func next(s string) token {
	switch c := s[0]; {
	case c == '\'':
		return token{kind: literalToken, text: s[:quoteEnd(s, c)]}
	case (c == 'x' || c == 'X') && len(s) > 1 && s[1] == '\'':
		return token{kind: literalToken, text: s[:1+quoteEnd(s[1:], '\'')]}
	case c == '"' || c == '`':
		return token{kind: quotedToken, text: s[:quoteEnd(s, c)]}
	case c == '[':
		return token{kind: quotedToken, text: s[:through(s, 1, "]")]}
	case isDigit(c) || c == '.' && len(s) > 1 && isDigit(s[1]):
		return token{kind: literalToken, text: s[:numberEnd(s)]}
	case strings.IndexByte("?:@$#", c) >= 0: // a parameter, whose name is no literal
		return token{text: s[:wordEnd(s, 1)]}
	case isWord(c):
		return token{kind: wordToken, text: s[:wordEnd(s, 1)]}
	}
	return token{text: s[:1]}
}

// quoteEnd returns where a quote ends, in which the quote itself is written twice.
func quoteEnd(s string, quote byte) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] != quote:
		case i+1 < len(s) && s[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return len(s)
}

func numberEnd(s string) int {
	i := 1
	for i < len(s) && (isWord(s[i]) || s[i] == '.' || (s[i] == '+' || s[i] == '-') && (s[i-1] == 'e' || s[i-1] == 'E') && !isHex(s)) {
		i++
	}
	return i
}

func isHex(s string) bool { return strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X") }

func wordEnd(s string, i int) int {
	for i < len(s) && isWord(s[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isWord(c byte) bool {
	return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '$' || c >= 0x80
}
