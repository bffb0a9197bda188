package pool

import (
	"fmt"
	"strings"
)

// Level is the lock with which a transaction begins. The levels are ordered by
// strength: a transaction nested in another may not be stronger than it.
//
// See https://www.sqlite.org/lang_transaction.html.
type Level uint8

const (
	// Deferred takes no lock until the first statement: a reader until it
	// writes. It reads one snapshot, and can write only while no other
	// transaction has committed since its first read; otherwise its first write
	// is ErrConflict.
	Deferred Level = iota
	// Immediate is a writer from the start and cannot conflict.
	Immediate
	// Exclusive is Immediate and, outside WAL mode, keeps readers of other
	// processes out too.
	Exclusive
)

var levelNames = [...]string{"DEFERRED", "IMMEDIATE", "EXCLUSIVE"}

// String returns SQLite's keyword for the level.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return fmt.Sprintf("Level(%d)", uint8(l))
}

// ParseLevel reads what String writes, in upper or lower case. Anything else
// is ErrConfig.
func ParseLevel(s string) (Level, error) {
	for i, name := range levelNames {
		if strings.EqualFold(s, name) {
			return Level(i), nil
		}
	}
	return Deferred, &Error{Op: "parse level", Err: ErrConfig, detail: fmt.Sprintf("%q is none of DEFERRED, IMMEDIATE, EXCLUSIVE", s)}
}
