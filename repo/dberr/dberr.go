// Package dberr tells apart the failures that every repository meets, whatever
// its tables. Generated repositories wrap the errors of their queries with it
// and offer its sentinels under their own name.
//
//	sentinel       when                                            also reaches
//	ErrNotFound    a query for one row found none                  sql.ErrNoRows
//	ErrDuplicate   a UNIQUE or PRIMARY KEY constraint is violated  SQLite's 2067, 1555, 2579
//	ErrForeignKey  a foreign key is violated, at once or at commit SQLite's 787
//	ErrCheck       a CHECK constraint is violated                  SQLite's 275
package dberr

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/sqlane/sqlane/pool"
)

var (
	// ErrNotFound is returned when a query for one row found none.
	ErrNotFound = errors.New("not found")
	// ErrDuplicate is returned when a row with the same unique key is there already.
	ErrDuplicate = errors.New("exists already")
	// ErrForeignKey is returned when a row refers to one that is not there, or
	// is referred to by one that would be left behind.
	ErrForeignKey = errors.New("foreign key violated")
	// ErrCheck is returned when a value is not allowed by a CHECK constraint.
	ErrCheck = errors.New("check constraint violated")
)

// Wrap adds the operation's name to an error, and the sentinel that fits it. nil
// stays nil.
func Wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if kind := kindOf(err); kind != nil && !errors.Is(err, kind) {
		return fmt.Errorf("%s: %w: %w", op, kind, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}

func kindOf(err error) error {
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case pool.IsUnique(err):
		return ErrDuplicate
	case pool.IsForeignKey(err):
		return ErrForeignKey
	case pool.IsCheck(err):
		return ErrCheck
	}
	return nil
}
