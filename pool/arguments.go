package pool

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// argumentsOf makes of arguments what database/sql makes of them, and fails in its
// words (https://pkg.go.dev/database/sql/driver#DefaultParameterConverter). It calls
// Valuers, which may take their time, panic, or use the pool: nothing may be locked.
func argumentsOf(args []any) ([]sqlite.Argument, error) {
	if len(args) == 0 {
		return nil, nil
	}
	return appendArguments(make([]sqlite.Argument, 0, len(args)), args)
}

// appendArguments is argumentsOf for those who have room for them.
func appendArguments(to []sqlite.Argument, args []any) ([]sqlite.Argument, error) {
	for i, arg := range args {
		var a sqlite.Argument
		if named, ok := arg.(sql.NamedArg); ok {
			if first, _ := utf8.DecodeRuneInString(named.Name); named.Name != "" && !unicode.IsLetter(first) {
				return nil, fmt.Errorf("name %q does not begin with a letter", named.Name)
			}
			a.Name, arg = named.Name, named.Value
		}
		var ok bool
		if a.Value, ok = plainValue(arg); !ok {
			v, err := driver.DefaultParameterConverter.ConvertValue(arg)
			if err != nil {
				which := fmt.Sprintf("$%d", i+1)
				if a.Name != "" {
					which = fmt.Sprintf("with name %q", a.Name)
				}
				return nil, fmt.Errorf("sql: converting argument %s type: %w", which, err)
			}
			if a.Value, ok = sqlite.ValueOf(v); !ok {
				return nil, sqlite.NoValueError(v)
			}
		}
		to = append(to, a)
	}
	return to, nil
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
