// Package arguments makes of what a program passes with a statement what SQLite is
// given, as database/sql does.
package arguments

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// Append adds to arguments what database/sql makes of another, and fails in its words
// (https://pkg.go.dev/database/sql/driver#DefaultParameterConverter). It calls Valuers,
// which may take their time, panic, or use the pool: nothing may be locked.
func Append(to []sqlite.Argument, arg any) ([]sqlite.Argument, error) {
	var a sqlite.Argument
	if named, ok := arg.(sql.NamedArg); ok {
		if first, _ := utf8.DecodeRuneInString(named.Name); named.Name != "" && !unicode.IsLetter(first) {
			return nil, fmt.Errorf("name %q does not begin with a letter", named.Name)
		}
		a.Name, arg = named.Name, named.Value
	}
	var ok bool
	if a.Value, ok = plainValue(arg); ok {
		return append(to, a), nil
	}
	v, err := driver.DefaultParameterConverter.ConvertValue(arg)
	return appendValue(to, a.Name, v, err)
}

// AppendValue adds to arguments what a driver.Valuer has returned.
func AppendValue(to []sqlite.Argument, v driver.Value, err error) ([]sqlite.Argument, error) {
	if err == nil && !driver.IsValue(v) {
		err = fmt.Errorf("non-Value type %T returned from Value", v) // database/sql's words
	}
	return appendValue(to, "", v, err)
}

func appendValue(to []sqlite.Argument, name string, v driver.Value, err error) ([]sqlite.Argument, error) {
	if err != nil {
		which := fmt.Sprintf("$%d", len(to)+1)
		if name != "" {
			which = fmt.Sprintf("with name %q", name)
		}
		return nil, fmt.Errorf("sql: converting argument %s type: %w", which, err)
	}
	value, ok := sqlite.ValueOf(v)
	if !ok {
		return nil, sqlite.NoValueError(v)
	}
	return append(to, sqlite.Argument{Name: name, Value: value}), nil
}

// plainValue makes of an argument what database/sql would make of it, if its type is
// one that most are of.
func plainValue(arg any) (v sqlite.Value, ok bool) {
	switch arg := arg.(type) {
	case int:
		return sqlite.IntegerOf(int64(arg)), true
	case *int64:
		return pointed(arg, sqlite.IntegerOf), true
	case *string:
		return pointed(arg, sqlite.TextOf), true
	case *float64:
		return pointed(arg, sqlite.FloatOf), true
	case *bool:
		return pointed(arg, sqlite.BoolOf), true
	case *time.Time:
		return pointed(arg, sqlite.TimeOf), true
	}
	return sqlite.ValueOf(arg)
}

func pointed[T any](p *T, of func(T) sqlite.Value) sqlite.Value {
	if p == nil {
		return sqlite.Value{}
	}
	return of(*p)
}
