package sqlite

import (
	"slices"
	"strings"
)

// Split cuts SQL text into its statements, without the semicolons, comments and
// space around them. It follows sqlite3_complete
// (https://www.sqlite.org/c3ref/complete.html), which knows that a semicolon
// inside CREATE TRIGGER does not end it. The driver takes a single statement
// with anything behind its semicolon for a script, and prepares it each time.
func Split(sql string) []string {
	if i := strings.IndexByte(sql, 0); i >= 0 {
		sql = sql[:i] // SQLite reads no further
	}
	var (
		parts      []string
		start      = -1 // of the statement's first token
		end        int  // behind its last token
		t          trigger
		finishPart = func() {
			if start >= 0 {
				parts = append(parts, sql[start:end])
			}
			start, t = -1, trigger{}
		}
	)
	for i := 0; i < len(sql); {
		kind, next := token(sql, i)
		switch {
		case kind == spaceToken:
		case kind == semicolonToken && !t.inBody():
			finishPart()
		default:
			if start < 0 {
				start = i
			}
			end = next
			t.read(kind, sql[i:next])
			if kind == semicolonToken && t.ended {
				finishPart()
			}
		}
		i = next
	}
	finishPart()
	return parts
}

type tokenKind uint8

const (
	otherToken tokenKind = iota
	spaceToken           // comments are space
	semicolonToken
	wordToken
)

// token returns the kind of the token at sql[i] and where it ends.
func token(sql string, i int) (tokenKind, int) {
	switch c := sql[i]; {
	case c == ';':
		return semicolonToken, i + 1
	case isSpace(c):
		i++
		for i < len(sql) && (isSpace(sql[i]) || sql[i] == '\v') { // after other space, a vertical tab is space too
			i++
		}
		return spaceToken, i
	case strings.HasPrefix(sql[i:], "\ufeff"): // a byte order mark is space
		return spaceToken, i + len("\ufeff")
	case c == '$' || c == '@' || c == '#' || c == ':':
		return otherToken, variableEnd(sql, i)
	case strings.HasPrefix(sql[i:], "--"):
		if n := strings.IndexByte(sql[i:], '\n'); n >= 0 {
			return spaceToken, i + n + 1
		}
		return spaceToken, len(sql)
	case strings.HasPrefix(sql[i:], "/*") && i+2 < len(sql):
		if n := strings.Index(sql[i+2:], "*/"); n >= 0 {
			return spaceToken, i + 2 + n + 2
		}
		return spaceToken, len(sql)
	case c == '\'' || c == '"' || c == '`':
		return otherToken, quoteEnd(sql, i, c)
	case c == '[':
		if n := strings.IndexByte(sql[i:], ']'); n >= 0 {
			return otherToken, i + n + 1
		}
		return otherToken, len(sql)
	case IsWord(c):
		j := i + 1
		for j < len(sql) && IsWord(sql[j]) {
			j++
		}
		return wordToken, j
	default:
		return otherToken, i + 1
	}
}

// variableEnd returns where a parameter ends. Tcl's may carry an index in
// brackets with anything but space in it.
func variableEnd(sql string, i int) int {
	name := 0
	for i++; i < len(sql); i++ {
		switch {
		case IsWord(sql[i]):
			name++
		case sql[i] == ':' && strings.HasPrefix(sql[i:], "::"):
			i++
		case sql[i] == '(' && name > 0:
			for i++; i < len(sql) && sql[i] != ')' && !isSpace(sql[i]); i++ {
				continue
			}
			return min(i+1, len(sql))
		default:
			return i
		}
	}
	return i
}

// quoteEnd returns where the text quoted by q, doubled inside it, ends.
func quoteEnd(sql string, i int, q byte) int {
	for j := i + 1; j < len(sql); j++ {
		if sql[j] != q {
			continue
		}
		if j+1 < len(sql) && sql[j+1] == q {
			j++
			continue
		}
		return j + 1
	}
	return len(sql)
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r'
}

func IsWord(c byte) bool {
	return c >= 0x80 || c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// trigger follows a statement's tokens to tell whether it is a CREATE TRIGGER
// and whether its body has ended, which "; END ;" does.
type trigger struct {
	tokens int  // read so far, EXPLAIN [QUERY PLAN] left out
	create bool // the first was CREATE
	body   bool // it is a trigger: CREATE [TEMP|TEMPORARY] TRIGGER was read
	last   string
	before string
	ended  bool
}

func (t *trigger) inBody() bool { return t.body && !t.ended }

func (t *trigger) read(kind tokenKind, text string) {
	word := ""
	if kind == wordToken || kind == semicolonToken {
		word = strings.ToUpper(text)
	}
	if t.body {
		t.ended = word == ";" && t.last == "END" && t.before == ";"
		t.before, t.last = t.last, word
		return
	}
	switch word {
	case "EXPLAIN", "QUERY", "PLAN":
		if t.tokens == 0 {
			return
		}
	}
	switch t.tokens {
	case 0:
		t.create = word == "CREATE"
	case 1:
		t.body = t.create && word == "TRIGGER"
		t.create = t.create && (word == "TEMP" || word == "TEMPORARY")
	case 2:
		t.body = t.create && word == "TRIGGER"
	}
	t.tokens++
}

// HasWord reports whether one of the words, in upper case, stands in the text: as a keyword
// or a name, not within quotes or a comment.
func HasWord(text string, words ...string) bool {
	for i := 0; i < len(text); {
		kind, next := token(text, i)
		if kind == wordToken && slices.Contains(words, strings.ToUpper(text[i:next])) {
			return true
		}
		i = next
	}
	return false
}

// FirstWord is the first word of a statement, in upper case.
func FirstWord(text string) string {
	_, end := token(text, 0)
	return strings.ToUpper(text[:end])
}
