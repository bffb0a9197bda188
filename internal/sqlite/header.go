package sqlite

import (
	"math"
	"reflect"
	"strings"
)

// Header is what database/sql tells of a query's columns. Nothing of it
// depends on a row, so it is the same for all of them, and after them.
type Header struct {
	names []string
	types []string // They are as declared, in upper case; "" for an expression.
	times []bool   // These columns are declared as times.
}

// Count is how many there are.
func (c *Header) Count() int { return len(c.names) }

// Columns implements driver.Rows.
func (c *Header) Columns() []string { return c.names }

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName.
func (c *Header) ColumnTypeDatabaseTypeName(i int) string { return c.types[i] }

// ColumnTypeLength implements driver.RowsColumnTypeLength: a column of texts or
// BLOBs has no limit of its own. How SQLite tells them from the declared type is
// in https://www.sqlite.org/datatype3.html#determination_of_column_affinity.
func (c *Header) ColumnTypeLength(i int) (length int64, ok bool) {
	if strings.Contains(c.types[i], "INT") {
		return 0, false
	}
	for _, sized := range []string{"CHAR", "CLOB", "TEXT", "BLOB"} {
		if strings.Contains(c.types[i], sized) {
			return math.MaxInt64, true
		}
	}
	return 0, false
}

// ColumnTypeNullable implements driver.RowsColumnTypeNullable: an outer join
// makes any column NULL.
func (c *Header) ColumnTypeNullable(int) (nullable, ok bool) { return true, true }

// ColumnTypePrecisionScale implements driver.RowsColumnTypePrecisionScale.
func (c *Header) ColumnTypePrecisionScale(int) (precision, scale int64, ok bool) { return 0, 0, false }

// ColumnTypeScanType implements driver.RowsColumnTypeScanType. A column of
// SQLite's may hold any kind of value in any row
// (https://www.sqlite.org/datatype3.html), and NULL: nothing but any takes all.
func (c *Header) ColumnTypeScanType(int) reflect.Type { return reflect.TypeFor[any]() }
