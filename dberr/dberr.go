// Package dberr names the kinds of failure that every query meets, whatever its
// tables and whatever it runs on. Generated repositories wrap the errors of their
// queries with [Wrap] and offer its sentinels under their own name, for errors.Is.
// [Kind] finds the sentinel of an error that nobody wrapped, such as one of a
// statement on a pool or on a *sql.DB over modernc.org/sqlite.
//
//	sentinel       when                                            also reaches
//	ErrNotFound    a query for one row found none                  sql.ErrNoRows
//	ErrDuplicate   a UNIQUE or PRIMARY KEY constraint is violated  SQLite's 2067, 1555, 2579
//	ErrForeignKey  a foreign key is violated, at once or at commit SQLite's 787, or 1811 of RESTRICT
//	ErrCheck       a CHECK constraint is violated                  SQLite's 275
//	ErrNotNull     a NOT NULL constraint is violated               SQLite's 1299
package dberr

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
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
	// ErrNotNull is returned when a value is NULL where the schema allows none.
	ErrNotNull = errors.New("not null constraint violated")
)

var kinds = [...]error{ErrNotFound, ErrDuplicate, ErrForeignKey, ErrCheck, ErrNotNull}

// Wrap adds the operation's name to an error, and the sentinel that fits it. nil
// stays nil.
func Wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if kind := Kind(err); kind != nil && !errors.Is(err, kind) {
		return fmt.Errorf("%s: %w: %w", op, kind, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}

// Kind returns the sentinel that fits the error, wrapped or not, and nil if none
// does: err is nil, or a failure of another kind. It knows modernc's *sqlite.Error,
// and every other error by a method SQLiteCode() int, which returns SQLite's extended
// result code (https://www.sqlite.org/rescode.html).
func Kind(err error) error {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return kind
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	switch code, message := verdict(err); code {
	case lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_PRIMARYKEY, lib.SQLITE_CONSTRAINT_ROWID:
		return ErrDuplicate
	case lib.SQLITE_CONSTRAINT_FOREIGNKEY:
		return ErrForeignKey
	case lib.SQLITE_CONSTRAINT_TRIGGER:
		// ON DELETE and ON UPDATE RESTRICT have the code of a trigger's RAISE, and
		// nothing but the message tells them apart.
		if strings.Contains(message, "FOREIGN KEY constraint failed") {
			return ErrForeignKey
		}
	case lib.SQLITE_CONSTRAINT_CHECK:
		return ErrCheck
	case lib.SQLITE_CONSTRAINT_NOTNULL:
		return ErrNotNull
	}
	return nil
}

// coded is an error that is not the driver's own, whose type cannot be made
// outside of it.
type coded interface {
	error
	SQLiteCode() int
}

// verdict is what SQLite says of the error, the code 0 if it says nothing.
func verdict(err error) (code int, message string) {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code(), e.Error()
	}
	if e, ok := errors.AsType[coded](err); ok {
		return e.SQLiteCode(), e.Error()
	}
	return 0, ""
}
