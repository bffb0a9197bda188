package migrate

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The migrations quote no spaces, so that nothing but this sees it.
func TestSpacesMeanNothingButWhereTheyAreQuoted(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "",
		" a \t\n\r b  c ":                   "a b c",
		"DEFAULT 'a  b'  NOT  NULL":         "DEFAULT 'a  b' NOT NULL",
		"'it''s  two'  'it''s   three'":     "'it''s  two' 'it''s   three'",
		"\"a  b\"  \"c\"\"  d\"":            "\"a  b\" \"c\"\"  d\"",
		"`a  b`  [a  b]  x":                 "`a  b` [a  b] x",
		"'\"  '  \"'  \"  [']  x  `[  `  y": "'\"  ' \"'  \" ['] x `[  ` y",
		"a -- it's  a comment\n  b":         "a b",
		"a /* so's  \n this */  b /* and":   "a b",
		"'--  no'  '/*  nor'  a":            "'--  no' '/*  nor' a",
		"'never  ended":                     "'never ended",
		"a  -  b  /  c  é  'é  ü'":          "a - b / c é 'é  ü'",
	} {
		require.Equal(t, want, squeeze(text))
	}
}
