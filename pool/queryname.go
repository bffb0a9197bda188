package pool

import (
	"strings"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// queryName is the name that sqlc's comment gives a query, "-- name: GetFile :one"; ""
// without one. It is shown to people and becomes a label of metrics, so it is a word.
func queryName(source string) string {
	line, _, _ := strings.Cut(source, "\n")
	rest, named := strings.CutPrefix(line, "-- name: ")
	name, _, kind := strings.Cut(rest, " :")
	if !named || !kind || len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool { return r > 0x7f || !sqlite.IsWord(byte(r)) }) {
		return ""
	}
	return name
}
