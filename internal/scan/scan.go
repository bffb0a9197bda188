// Package scan puts the values of a row into a program's variables as database/sql
// does, at less cost where value and variable go together as they are.
package scan

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/internal/sqlite"
)

var errNilDestination = errors.New("destination pointer is nil") // database/sql's words

// Row puts the values of a row where dest points, as (*sql.Rows).Scan does: in
// order, up to the first that fails, with its errors. Scanners run here, so nothing
// may be locked.
func Row(b *bridge.Bridge, names []string, row []sqlite.Value, dest []any) error {
	if len(dest) != len(row) {
		return fmt.Errorf("sql: expected %d destination arguments in Scan, not %d", len(row), len(dest))
	}
	for i, d := range dest {
		if err := Column(b, names, i, &row[i], d); err != nil {
			return err
		}
	}
	return nil
}

// Column is Row for one of its columns, the one at i.
func Column(b *bridge.Bridge, names []string, i int, v *sqlite.Value, dest any) error {
	done, err := assign(v, dest)
	if err != nil {
		return Failed(names, i, err)
	}
	if done {
		return nil
	}
	return convert(b, names, i, v.Driver(), dest)
}

// Failed is the error of the column at i.
func Failed(names []string, i int, err error) error {
	return fmt.Errorf(`sql: Scan error on column index %d, name %q: %w`, i, names[i], err)
}

// HasRawBytes reports a destination that would have to share the connection's
// memory: there is none that is shared.
func HasRawBytes(dest []any) bool {
	for _, d := range dest {
		if _, ok := d.(*sql.RawBytes); ok {
			return true
		}
	}
	return false
}

// assign does what database/sql does with a value and a destination that go
// together as they are; the others are not done. It does nothing that database/sql
// would not do, since what is not done is done over by database/sql itself, and it
// does everything that calls code of the program's.
func assign(v *sqlite.Value, dest any) (done bool, err error) {
	switch d := dest.(type) {
	case *int64:
		if v.Kind == sqlite.Integer && d != nil {
			*d = v.Int()
			return true, nil
		}
	case *string:
		if v.Kind == sqlite.Text && d != nil {
			*d = v.Text()
			return true, nil
		}
	case *float64:
		if v.Kind == sqlite.Float && d != nil {
			*d = v.Float()
			return true, nil
		}
	case *bool:
		if v.Kind == sqlite.Integer && uint64(v.Int()) <= 1 && d != nil {
			*d = v.Int() == 1
			return true, nil
		}
	case *time.Time:
		if v.Kind == sqlite.Time && d != nil {
			*d = v.Time()
			return true, nil
		}
	case *[]byte:
		if d != nil && assignBytes(v, d) {
			return true, nil
		}
	case *any:
		if d == nil {
			break
		}
		if v.Kind == sqlite.Blob {
			*d = bytes.Clone(v.Blob())
		} else {
			*d = v.Driver()
		}
		return true, nil
	case sql.Scanner:
		if p := reflect.ValueOf(dest); p.Kind() == reflect.Pointer && p.IsNil() {
			return false, errNilDestination
		}
		return true, d.Scan(v.Driver())
	}
	return assignKind(v, reflect.ValueOf(dest))
}

func assignBytes(v *sqlite.Value, d *[]byte) bool {
	switch v.Kind {
	case sqlite.Blob:
		*d = bytes.Clone(v.Blob())
	case sqlite.Text:
		*d = []byte(v.Text())
	case sqlite.Null:
		*d = nil
	default:
		return false
	}
	return true
}

// assignKind is assign for pointers to named types, to other sizes of integers, and
// to pointers.
func assignKind(v *sqlite.Value, p reflect.Value) (done bool, err error) {
	if p.Kind() != reflect.Pointer {
		return false, nil
	}
	if p.IsNil() {
		return false, errNilDestination
	}
	switch d := p.Elem(); d.Kind() {
	case reflect.Pointer:
		if v.Kind == sqlite.Null {
			d.SetZero()
			return true, nil
		}
		d.Set(reflect.New(d.Type().Elem()))
		return assign(v, d.Interface())
	case reflect.String:
		if v.Kind == sqlite.Text {
			d.SetString(v.Text())
			return true, nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if v.Kind == sqlite.Integer && !d.OverflowInt(v.Int()) {
			d.SetInt(v.Int())
			return true, nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if v.Kind == sqlite.Integer && v.Int() >= 0 && !d.OverflowUint(uint64(v.Int())) {
			d.SetUint(uint64(v.Int()))
			return true, nil
		}
	case reflect.Float64:
		if v.Kind == sqlite.Float {
			d.SetFloat(v.Float())
			return true, nil
		}
	}
	return false, nil
}

// convert has database/sql convert a value, in a row of its own in which nothing
// else is of interest, so that what it says names the column.
func convert(b *bridge.Bridge, names []string, at int, value driver.Value, dest any) error {
	rows, err := b.Rows(&loneValue{names: names, at: at, value: value})
	if err != nil {
		return err
	}
	defer rows.Close()
	var ignored any
	all := make([]any, len(names))
	for i := range all {
		all[i] = &ignored
	}
	all[at] = dest
	rows.Next()
	return rows.Scan(all...)
}

// loneValue is a row in which one column is not NULL.
type loneValue struct {
	names []string
	at    int
	value driver.Value
}

// Columns implements driver.Rows.
func (r *loneValue) Columns() []string { return r.names }

// Next implements driver.Rows. It is called once.
func (r *loneValue) Next(dest []driver.Value) error {
	clear(dest)
	dest[r.at] = r.value
	return nil
}

// Close implements driver.Rows.
func (r *loneValue) Close() error { return nil }
