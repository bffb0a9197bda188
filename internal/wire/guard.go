package wire

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// guarded are the PRAGMAs that end the process of a node of dqlite 1.11, with whatever else
// runs in it: it answers some with memory that SQLite cannot free, as soon as they are
// prepared (src/vfs.c, vfsFileControlPragma), and a checkpoint takes the log away under it,
// which the next write does not survive.
var guarded = func() *regexp.Regexp {
	const (
		space  = `(?:\s|--[^\n]*\n|/\*.*?\*/)`
		quoted = "[\"'`\\[\\]]?"
	)
	return regexp.MustCompile(`(?is)^(?:EXPLAIN` + space + `+(?:QUERY` + space + `+PLAN` + space + `+)?)?PRAGMA` + space + `*` +
		`(?:` + quoted + `\w+` + quoted + space + `*\.` + space + `*)?` +
		quoted + `(journal_mode|page_size|wal_checkpoint|wal_autocheckpoint)` + quoted + space + `*([=(].*)?$`)
}()

// admit refuses a statement that would end the node's process.
func admit(statement string) error {
	if word := sqlite.FirstWord(statement); word != "PRAGMA" && word != "EXPLAIN" {
		return nil
	}
	found := guarded.FindStringSubmatch(statement)
	if found == nil {
		return nil
	}
	name := strings.ToLower(found[1])
	value := strings.Trim(found[2], "=()\"'`[] \t\r\n")
	if name == "wal_checkpoint" || value != "" && (name != "journal_mode" || !strings.EqualFold(value, "wal")) {
		return fmt.Errorf("dqlite: PRAGMA %s would end the node; dqlite sees to what it sets", name)
	}
	return nil
}
