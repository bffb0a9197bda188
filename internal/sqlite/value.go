package sqlite

import (
	"database/sql/driver"
	"fmt"
	"math"
	"time"
)

// Kind is what a value is: one of SQLite's storage classes
// (https://www.sqlite.org/datatype3.html), or a time, which those are made of that a
// column holds which is declared as one.
type Kind uint8

// What a value may be.
const (
	Null Kind = iota
	Integer
	Float
	Text
	Blob
	Time
)

// Value is a column of a row that was read. Other than a driver.Value it costs no
// memory of its own, unless it is long or a BLOB.
type Value struct {
	Kind Kind

	nanos  int32  // of a Time
	number int64  // an Integer, the bits of a Float, the seconds of a Time
	text   string // of a Text
	blob   []byte // of a Blob; not nil
}

// Int is what an Integer is.
func (v *Value) Int() int64 { return v.number }

// Float is what a Float is.
func (v *Value) Float() float64 { return math.Float64frombits(uint64(v.number)) }

// Text is what a Text is.
func (v *Value) Text() string { return v.text }

// Blob is what a Blob is. It is not a copy.
func (v *Value) Blob() []byte { return v.blob }

// Time is what a Time is, in UTC.
func (v *Value) Time() time.Time { return time.Unix(v.number, int64(v.nanos)).UTC() }

// become makes it a value of a kind, whose content is to be set. What another kind left
// is gone; what the same one did is not.
func (v *Value) become(k Kind) {
	if v.Kind != k {
		*v = Value{Kind: k}
	}
}

// Driver is the value as database/sql has it.
func (v *Value) Driver() driver.Value {
	switch v.Kind {
	case Integer:
		return v.number
	case Float:
		return v.Float()
	case Text:
		return v.text
	case Blob:
		return v.blob
	case Time:
		return v.Time()
	}
	return nil
}

func timeValue(t time.Time) Value {
	return Value{Kind: Time, number: t.Unix(), nanos: int32(t.Nanosecond())}
}

// Argument is what a parameter is given.
type Argument struct {
	Name string // It is "" for one that is given by its place.
	Value
}

// Arguments makes arguments of database/sql's.
func Arguments(given []driver.NamedValue) ([]Argument, error) {
	if len(given) == 0 {
		return nil, nil
	}
	args := make([]Argument, len(given))
	for i, g := range given {
		v, ok := ValueOf(g.Value)
		if !ok {
			return nil, NoValueError(g.Value)
		}
		args[i] = Argument{Name: g.Name, Value: v}
	}
	return args, nil
}

// NoValueError is what is said of an argument that ValueOf does not know.
func NoValueError(v any) error { return fmt.Errorf("sqlite: invalid driver.Value type %T", v) }

// IntegerOf is an Integer.
func IntegerOf(n int64) Value { return Value{Kind: Integer, number: n} }

// FloatOf is a Float.
func FloatOf(f float64) Value { return Value{Kind: Float, number: int64(math.Float64bits(f))} }

// TextOf is a Text.
func TextOf(s string) Value { return Value{Kind: Text, text: s} }

// BlobOf is a Blob, which is not copied, or Null for nil.
func BlobOf(b []byte) Value {
	if b == nil {
		return Value{}
	}
	return Value{Kind: Blob, blob: b}
}

// TimeOf is a Time.
func TimeOf(t time.Time) Value { return timeValue(t) }

// BoolOf is an Integer, 1 or 0.
func BoolOf(b bool) Value {
	if b {
		return IntegerOf(1)
	}
	return IntegerOf(0)
}

// ValueOf is a driver.Value. ok is false for what is none.
func ValueOf(v driver.Value) (_ Value, ok bool) {
	switch v := v.(type) {
	case nil:
		return Value{}, true
	case int64:
		return IntegerOf(v), true
	case float64:
		return FloatOf(v), true
	case bool:
		return BoolOf(v), true
	case string:
		return TextOf(v), true
	case []byte:
		return BlobOf(v), true
	case time.Time:
		return TimeOf(v), true
	}
	return Value{}, false
}
