package pool

import (
	"github.com/sqlane/sqlane/internal/arguments"
	"github.com/sqlane/sqlane/internal/sqlite"
)

// argumentsOf makes of arguments what database/sql makes of them. It calls the
// program's Valuers: nothing may be locked.
func argumentsOf(args []any) ([]sqlite.Argument, error) {
	if len(args) == 0 {
		return nil, nil
	}
	return appendArguments(make([]sqlite.Argument, 0, len(args)), args)
}

// appendArguments is argumentsOf for those who have room for them.
func appendArguments(to []sqlite.Argument, args []any) (_ []sqlite.Argument, err error) {
	for _, arg := range args {
		if to, err = arguments.Append(to, arg); err != nil {
			return nil, err
		}
	}
	return to, nil
}
