package main

import (
	"strings"
	"unicode/utf8"
)

// encode makes UTF-8 of a path, in a way that can be undone: a byte that is none
// becomes \xHH, and so does a backslash that would be taken for such a one.
func encode(path string) string {
	if utf8.ValidString(path) && !strings.Contains(path, `\x`) {
		return path
	}
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i := 0; i < len(path); {
		r, n := utf8.DecodeRuneInString(path[i:])
		if r == utf8.RuneError && n == 1 || isEscape(path[i:]) {
			b.WriteString(`\x`)
			b.WriteByte(hex[path[i]>>4])
			b.WriteByte(hex[path[i]&15])
			i++
			continue
		}
		b.WriteString(path[i : i+n])
		i += n
	}
	return b.String()
}

func isEscape(s string) bool {
	return len(s) >= 4 && s[:2] == `\x` && isHex(s[2]) && isHex(s[3])
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }

// decode undoes encode.
func decode(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		if isEscape(text[i:]) {
			b.WriteByte(nibble(text[i+2])<<4 | nibble(text[i+3]))
			i += 4
			continue
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

func nibble(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}
