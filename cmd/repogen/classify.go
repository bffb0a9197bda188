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
		for _, token := range tokens(sql) {
			if c := token[0]; (isLetter(c) || c == '(' || c == ')' || c == ';') && !yield(token) {
				return
			}
		}
	}
}

// tokens yields where they begin and the words, semicolons, parentheses and parameters
// of SQL text, without comments and without what is quoted. sqlc's mark of a slice
// is a parameter, though half of it is a comment.
func tokens(sql string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		for i := 0; i < len(sql); {
			rest := sql[i:]
			n := 0 // the length of a token
			switch c := sql[i]; {
			case strings.HasPrefix(rest, "--"):
				i += until(rest, "\n", 2)
			case strings.HasPrefix(rest, sliceMark) && strings.HasPrefix(rest[until(rest, "*/", 2):], "?"):
				n = until(rest, "*/?", 2)
			case strings.HasPrefix(rest, "/*"):
				i += until(rest, "*/", 2)
			case c == '\'' || c == '"' || c == '`':
				i += until(rest, string(c), 1)
			case c == '[':
				i += until(rest, "]", 1)
			case isLetter(c) || c == '?' || c == ':' || c == '@':
				for n = 1; n < len(rest) && isLetter(rest[n]); n++ {
					continue
				}
			case c == '(' || c == ')' || c == ';':
				n = 1
			default:
				i++
			}
			if n > 0 && !yield(i, rest[:n]) {
				return
			}
			i += n
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
