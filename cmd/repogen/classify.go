package main

import "strings"

// reads reports that a query only reads: its main verb is SELECT or VALUES. What
// is not certain counts as writing, which is always right, only slower.
func reads(sql string) bool {
	depth := 0
	with := false
	for word := range words(sql) {
		switch word {
		case "(":
			depth++
		case ")":
			depth--
		default:
			if depth > 0 {
				continue // a subquery or a common table expression
			}
			switch strings.ToUpper(word) {
			case "SELECT", "VALUES":
				return !several(sql)
			case "WITH":
				with = true
			default:
				if !with { // INSERT, UPDATE, DELETE, REPLACE, PRAGMA, ...
					return false
				}
				switch strings.ToUpper(word) {
				case "INSERT", "UPDATE", "DELETE", "REPLACE":
					return false
				}
			}
		}
	}
	return false
}

// several reports a text of more than one statement.
func several(sql string) bool {
	ended := false
	for word := range words(sql) {
		if ended {
			return true
		}
		ended = word == ";"
	}
	return false
}

// words yields the words, semicolons and parentheses of SQL text, without comments and
// without what is quoted.
func words(sql string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := 0; i < len(sql); {
			rest := sql[i:]
			switch c := sql[i]; {
			case strings.HasPrefix(rest, "--"):
				i += until(rest, "\n", 2)
			case strings.HasPrefix(rest, "/*"):
				i += until(rest, "*/", 2)
			case c == '\'' || c == '"' || c == '`':
				i += until(rest, string(c), 1)
			case c == '[':
				i += until(rest, "]", 1)
			case isLetter(c):
				n := 1
				for n < len(rest) && isLetter(rest[n]) {
					n++
				}
				if !yield(rest[:n]) {
					return
				}
				i += n
			case c == '(' || c == ')' || c == ';':
				if !yield(string(c)) {
					return
				}
				i++
			default:
				i++
			}
		}
	}
}

// until returns the length of s up to and with the end that follows a prefix of
// n bytes, all of s if there is none.
func until(s, end string, n int) int {
	if i := strings.Index(s[n:], end); i >= 0 {
		return n + i + len(end)
	}
	return len(s)
}

func isLetter(c byte) bool {
	return c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}
