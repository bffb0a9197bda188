package pool

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// namedValues makes of arguments what database/sql makes of them, and fails in its
// words (https://pkg.go.dev/database/sql/driver#DefaultParameterConverter). It calls
// Valuers, which may take their time, panic, or use the pool: nothing may be locked.
func namedValues(args []any) ([]driver.NamedValue, error) {
	return appendNamedValues(make([]driver.NamedValue, 0, len(args)), args)
}

// appendNamedValues is namedValues for those who have room for them.
func appendNamedValues(values []driver.NamedValue, args []any) ([]driver.NamedValue, error) {
	for i, arg := range args {
		v := driver.NamedValue{Ordinal: i + 1}
		if named, ok := arg.(sql.NamedArg); ok {
			if first, _ := utf8.DecodeRuneInString(named.Name); named.Name != "" && !unicode.IsLetter(first) {
				return nil, fmt.Errorf("name %q does not begin with a letter", named.Name)
			}
			v.Name, arg = named.Name, named.Value
		}
		var err error
		if v.Value, err = driver.DefaultParameterConverter.ConvertValue(arg); err != nil {
			which := fmt.Sprintf("$%d", v.Ordinal)
			if v.Name != "" {
				which = fmt.Sprintf("with name %q", v.Name)
			}
			return nil, fmt.Errorf("sql: converting argument %s type: %w", which, err)
		}
		values = append(values, v)
	}
	return values, nil
}
