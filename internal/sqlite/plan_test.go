package sqlite_test

import (
	"database/sql/driver"
	"testing"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/stretchr/testify/require"
	modernc "modernc.org/sqlite"
)

func TestAPlanIsThatOfOneStatementWithoutArguments(t *testing.T) {
	factory, err := modernc.NewConnector(":memory:")
	require.NoError(t, err)
	c, err := factory.Connect(t.Context())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.(driver.ExecerContext).ExecContext(t.Context(), "CREATE TABLE n (v)", nil)
	require.NoError(t, err)
	for _, text := range []string{"SELECT * FROM n WHERE v = ?", "-- a comment\nSELECT * FROM n WHERE v = :v; -- another"} {
		lines, err := sqlite.Plan(c, text)
		require.NoError(t, err)
		require.Equal(t, []string{"SCAN n"}, lines)
	}
	lines, err := sqlite.Plan(c, "INSERT INTO n VALUES (?)")
	require.NoError(t, err)
	require.Empty(t, lines)
	for text, says := range map[string]string{
		"SELECT * FROM nowhere":            "no such table",
		"SELECT * FROM n; SELECT * FROM n": "2 statements",
		" ; ":                              "0 statements",
	} {
		_, err := sqlite.Plan(c, text)
		require.ErrorContains(t, err, says)
	}
	_, err = sqlite.Plan(struct{ sqlite.Driver }{}, "SELECT 1")
	require.ErrorContains(t, err, "has no field")
}
