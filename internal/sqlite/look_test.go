package sqlite

import (
	"context"
	"database/sql/driver"
	"testing"

	"github.com/stretchr/testify/require"
)

// otherDriver is a connection and a statement of some other driver.
type otherDriver struct {
	driver.Conn
	driver.Stmt
	db int
}

func (otherDriver) Close() error { return nil }

func TestADriverThatChangedIsNamed(t *testing.T) {
	for _, other := range []driver.Conn{struct{ driver.Conn }{}, &struct{ driver.Conn }{}} {
		_, _, err := handlesOf(other)
		require.ErrorContains(t, err, "modernc.org/sqlite")
		require.ErrorContains(t, err, `"db"`)
	}
	_, err := uintptrField(&otherDriver{db: 1}, "db")
	require.ErrorContains(t, err, "no field", "it is not a uintptr")
	_, err = statementOf(&otherDriver{})
	require.ErrorContains(t, err, `"pstmt"`)
	_, err = Open(t.Context(), strange{}, Options{})
	require.ErrorContains(t, err, "lacks a method")
}

// strange is a factory of connections that are not the driver's.
type strange struct{ driver.Connector }

func (strange) Connect(context.Context) (driver.Conn, error) { return closable{}, nil }

type closable struct{ driver.Conn }

func (closable) Close() error { return nil }
