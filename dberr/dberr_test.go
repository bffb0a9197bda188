package dberr_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const tables = `
CREATE TABLE keyed (id INTEGER PRIMARY KEY, name TEXT UNIQUE, size INTEGER NOT NULL DEFAULT 0 CHECK (size >= 0)) STRICT;
CREATE TABLE named (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE loose (v ANY) STRICT;
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES keyed) STRICT;
CREATE TABLE debtor (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES keyed DEFERRABLE INITIALLY DEFERRED) STRICT;
CREATE TABLE kept (id INTEGER PRIMARY KEY, name TEXT REFERENCES named ON DELETE RESTRICT) STRICT;
CREATE TRIGGER raising BEFORE INSERT ON loose WHEN new.v = 13 BEGIN SELECT RAISE(ABORT, 'no thirteens'); END;
INSERT INTO keyed (id, name) VALUES (1, 'one');
INSERT INTO named VALUES ('one');
INSERT INTO loose (rowid, v) VALUES (1, 'one');
INSERT INTO child VALUES (1, 1);
INSERT INTO kept VALUES (1, 'one');
`

// every sentinel, to see that an error is one of them and no other.
var sentinels = []error{dberr.ErrNotFound, dberr.ErrDuplicate, dberr.ErrForeignKey, dberr.ErrCheck, dberr.ErrNotNull}

func requireKind(t *testing.T, err, want error) {
	t.Helper()
	for _, sentinel := range sentinels {
		require.Equal(t, sentinel == want, errors.Is(err, sentinel), "%q is %q", err, sentinel)
	}
}

func open(t *testing.T) *pool.Pool {
	t.Helper()
	p := pooltest.New(t)
	require.NoError(t, exec(t.Context(), p, tables))
	return p
}

func exec(ctx context.Context, p *pool.Pool, text string) error {
	lease, err := p.Acquire(ctx)
	if err != nil {
		return err
	}
	defer lease.Release()
	_, err = lease.ExecContext(ctx, text)
	return err
}

func TestSQLitesErrorsGetTheSentinelThatFits(t *testing.T) {
	p := open(t)
	for text, want := range map[string]struct {
		kind error
		code int
	}{
		"INSERT INTO keyed (name) VALUES ('one')":             {dberr.ErrDuplicate, lib.SQLITE_CONSTRAINT_UNIQUE},
		"INSERT INTO keyed (id) VALUES (1)":                   {dberr.ErrDuplicate, lib.SQLITE_CONSTRAINT_PRIMARYKEY},
		"INSERT INTO named VALUES ('one')":                    {dberr.ErrDuplicate, lib.SQLITE_CONSTRAINT_PRIMARYKEY},
		"INSERT INTO loose (rowid, v) VALUES (1, 'two')":      {dberr.ErrDuplicate, lib.SQLITE_CONSTRAINT_ROWID},
		"INSERT INTO child VALUES (2, 99)":                    {dberr.ErrForeignKey, lib.SQLITE_CONSTRAINT_FOREIGNKEY},
		"INSERT INTO debtor VALUES (2, 99)":                   {dberr.ErrForeignKey, lib.SQLITE_CONSTRAINT_FOREIGNKEY},
		"DELETE FROM keyed":                                   {dberr.ErrForeignKey, lib.SQLITE_CONSTRAINT_FOREIGNKEY},
		"UPDATE keyed SET id = 7":                             {dberr.ErrForeignKey, lib.SQLITE_CONSTRAINT_FOREIGNKEY},
		"DELETE FROM named":                                   {dberr.ErrForeignKey, lib.SQLITE_CONSTRAINT_TRIGGER},
		"INSERT INTO keyed (size) VALUES (-1)":                {dberr.ErrCheck, lib.SQLITE_CONSTRAINT_CHECK},
		"INSERT INTO keyed (size) VALUES (NULL)":              {dberr.ErrNotNull, lib.SQLITE_CONSTRAINT_NOTNULL},
		"INSERT INTO keyed (size) VALUES ('much')":            {nil, lib.SQLITE_CONSTRAINT_DATATYPE},
		"INSERT INTO loose VALUES (13)":                       {nil, lib.SQLITE_CONSTRAINT_TRIGGER},
		"INSERT INTO nowhere VALUES (1)":                      {nil, lib.SQLITE_ERROR},
		"INSERT OR FAIL INTO keyed (id, size) VALUES (2, -1)": {dberr.ErrCheck, lib.SQLITE_CONSTRAINT_CHECK},
	} {
		bare := exec(t.Context(), p, text)
		require.Error(t, bare, text)
		require.Equal(t, want.kind, dberr.Kind(bare), text)
		err := dberr.Wrap("Op", bare)
		require.Equal(t, want.kind, dberr.Kind(err), text)
		requireKind(t, err, want.kind)
		require.ErrorIs(t, err, bare)
		code, ok := pool.Code(err)
		require.True(t, ok, text)
		require.Equal(t, want.code, code, text)
		var e *sqlite.Error
		require.ErrorAs(t, err, &e, text)
		require.Equal(t, want.code, e.Code(), text)
		if want.kind != nil {
			require.EqualError(t, err, "Op: "+want.kind.Error()+": "+bare.Error())
		} else {
			require.EqualError(t, err, "Op: "+bare.Error())
		}
	}
}

func TestAQueryForOneRowThatFindsNoneIsErrNotFound(t *testing.T) {
	p := open(t)
	lease, err := p.Acquire(t.Context())
	require.NoError(t, err)
	defer lease.Release()
	var name string
	err = dberr.Wrap("GetName", lease.QueryRowContext(t.Context(), "SELECT name FROM keyed WHERE id = 99").Scan(&name))
	requireKind(t, err, dberr.ErrNotFound)
	require.ErrorIs(t, err, sql.ErrNoRows)
	require.EqualError(t, err, "GetName: not found: sql: no rows in result set")
	_, ok := pool.Code(err)
	require.False(t, ok)
}

func TestADeferredForeignKeyIsErrForeignKeyAtTheEnd(t *testing.T) {
	p := open(t)
	owe := func(ctx context.Context, tx *pool.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO debtor VALUES (3, 99)")
		require.NoError(t, err, "it is owed until the end")
		return nil
	}
	for _, err := range []error{p.InTx(t.Context(), pool.Immediate, owe), p.Batch(t.Context(), owe)} {
		err = dberr.Wrap("Op", err)
		requireKind(t, err, dberr.ErrForeignKey)
		code, ok := pool.Code(err)
		require.True(t, ok)
		require.Equal(t, lib.SQLITE_CONSTRAINT_FOREIGNKEY, code)
		var e *pool.Error
		require.ErrorAs(t, err, &e)
	}
}

func TestThePoolsOwnErrorsGetNoSentinel(t *testing.T) {
	p := open(t)
	err := p.View(t.Context(), func(ctx context.Context, tx *pool.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO named VALUES ('two')")
		return dberr.Wrap("Add", err)
	})
	requireKind(t, err, nil)
	require.ErrorIs(t, err, pool.ErrReadOnly)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = dberr.Wrap("Add", exec(ctx, p, "INSERT INTO named VALUES ('two')"))
	requireKind(t, err, nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestNilStaysNil(t *testing.T) {
	require.NoError(t, dberr.Wrap("Op", nil))
	require.True(t, dberr.Wrap("Op", nil) == nil)
}

func TestAForeignErrorPassesUnchangedBehindTheOperation(t *testing.T) {
	for _, foreign := range []error{io.EOF, sql.ErrTxDone, &pool.Error{Op: "acquire", Err: pool.ErrClosed}, errors.New("not found")} {
		err := dberr.Wrap("Op", foreign)
		require.Same(t, foreign, errors.Unwrap(err))
		require.EqualError(t, err, "Op: "+foreign.Error())
		requireKind(t, err, nil)
	}
}

func TestAnErrorThatIsWrappedTwiceNamesItsKindOnce(t *testing.T) {
	p := open(t)
	bare := exec(t.Context(), p, "INSERT INTO named VALUES ('one')")
	err := dberr.Wrap("Outer", dberr.Wrap("Inner", bare))
	requireKind(t, err, dberr.ErrDuplicate)
	require.ErrorIs(t, err, bare)
	require.EqualError(t, err, "Outer: Inner: exists already: "+bare.Error())
	err = dberr.Wrap("Outer", dberr.Wrap("Inner", sql.ErrNoRows))
	requireKind(t, err, dberr.ErrNotFound)
	require.EqualError(t, err, "Outer: Inner: not found: sql: no rows in result set")
}

func TestTheSentinelsAreDifferent(t *testing.T) {
	for i, a := range sentinels {
		for j, b := range sentinels {
			require.Equal(t, i == j, errors.Is(a, b))
		}
	}
}

// foreignError is an error of a driver that is not modernc's.
type foreignError int

func (foreignError) Error() string     { return "FOREIGN KEY constraint failed" }
func (e foreignError) SQLiteCode() int { return int(e) }

func TestAnErrorOfAnotherDriverTellsItsCode(t *testing.T) {
	for code, want := range map[int]error{
		lib.SQLITE_CONSTRAINT_UNIQUE: dberr.ErrDuplicate, lib.SQLITE_CONSTRAINT_FOREIGNKEY: dberr.ErrForeignKey, lib.SQLITE_CONSTRAINT_TRIGGER: dberr.ErrForeignKey,
		lib.SQLITE_CONSTRAINT_CHECK: dberr.ErrCheck, lib.SQLITE_CONSTRAINT_NOTNULL: dberr.ErrNotNull, lib.SQLITE_BUSY: nil, lib.SQLITE_OK: nil,
	} {
		err := fmt.Errorf("wrapped: %w", foreignError(code))
		require.Equal(t, want, dberr.Kind(err), code)
		requireKind(t, dberr.Wrap("Op", err), want)
	}
}

func TestKindFindsASentinelThatIsThereAlready(t *testing.T) {
	require.NoError(t, dberr.Kind(nil))
	for _, sentinel := range sentinels {
		require.Same(t, sentinel, dberr.Kind(fmt.Errorf("a fake's: %w", sentinel)))
		require.EqualError(t, dberr.Wrap("Op", sentinel), "Op: "+sentinel.Error())
	}
	require.Same(t, dberr.ErrNotFound, dberr.Kind(sql.ErrNoRows))
}
