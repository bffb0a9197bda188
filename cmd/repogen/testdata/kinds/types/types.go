// Package types has columns' types of each kind.
package types

import (
	"database/sql/driver"
	"errors"
	"fmt"
)

// These are kinds with a name and no method.
type (
	Text   string
	Number int64
	Small  int8
	Tall   uint64
	Half   float32
	Whole  float64
	Flag   bool
	Bytes  []byte
	Near   *int64
)

// Picky takes texts and NULL alone, and gives itself away but when it is "refused".
type Picky struct {
	Text string
	Null bool
}

// ErrPicky is what a Picky says.
var ErrPicky = errors.New("picky")

// Scan implements sql.Scanner.
func (p *Picky) Scan(v any) error {
	*p = Picky{Text: "half scanned"}
	switch v := v.(type) {
	case string:
		*p = Picky{Text: v}
	case nil:
		*p = Picky{Null: true}
	default:
		return fmt.Errorf("%w: %T", ErrPicky, v)
	}
	return nil
}

// Value implements driver.Valuer.
func (p Picky) Value() (driver.Value, error) {
	switch {
	case p.Text == "refused":
		return nil, ErrPicky
	case p.Text == "strange":
		return struct{}{}, nil
	case p.Null:
		return nil, nil
	}
	return p.Text, nil
}

// Loose is a text that scans itself whatever it is, and is no Valuer.
type Loose string

// Scan implements sql.Scanner.
func (l *Loose) Scan(v any) error {
	*l = Loose(fmt.Sprintf("%T", v))
	return nil
}

// Far is a Valuer by its pointer alone.
type Far struct{ N int64 }

// Value implements driver.Valuer.
func (f *Far) Value() (driver.Value, error) {
	if f == nil {
		return "nil", nil
	}
	return f.N, nil
}

// Scan implements sql.Scanner.
func (f *Far) Scan(v any) error {
	n, _ := v.(int64)
	f.N = n
	return nil
}
