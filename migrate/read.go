package migrate

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// script is what a migration does in one direction: the statements of a file, or
// one of the functions.
type script struct {
	transaction bool
	statements  []string
	inTx        goose.GoMigrationContext
	onDB        goose.GoMigrationNoTxContext
}

// script reads a step. goose keeps its parser to itself; but a Provider upon a
// database that only takes notes runs everything past it.
func (m *Migrator) script(ctx context.Context, s step) (script, error) {
	if g, there := m.inGo[s.version]; there {
		one := script{inTx: g.UpFnContext, onDB: g.UpFnNoTxContext}
		if !s.up {
			one = script{inTx: g.DownFnContext, onDB: g.DownFnNoTxContext}
		}
		one.transaction = one.onDB == nil
		return one, nil
	}
	r := m.recorder(!s.up)
	provider, closeDB, err := m.provider(r)
	if err != nil {
		return script{}, err
	}
	defer closeDB()
	if _, err := provider.ApplyVersion(ctx, s.version, s.up); err != nil {
		var partial *goose.PartialError
		if errors.As(err, &partial) {
			err = partial.Err
		}
		return script{}, err
	}
	return r.script, nil
}

// recorder is a database for goose, of one connection, in which a migration is
// applied or not, and which does nothing but note down what is run.
type recorder struct {
	database.Store
	applied bool
	script  script
}

func (m *Migrator) recorder(applied bool) *recorder {
	return &recorder{Store: m.store, applied: applied}
}

func (r *recorder) Connect(context.Context) (driver.Conn, error) { return recordingConn{r}, nil }
func (r *recorder) Driver() driver.Driver                        { return nil }

type recordingConn struct{ *recorder }

func (c recordingConn) Begin() (driver.Tx, error) {
	c.script.transaction = true
	return c, nil
}

func (c recordingConn) ExecContext(_ context.Context, statement string, _ []driver.NamedValue) (driver.Result, error) {
	c.script.statements = append(c.script.statements, statement)
	return driver.ResultNoRows, nil
}

func (recordingConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (recordingConn) Close() error                        { return nil }
func (recordingConn) Commit() error                       { return nil }
func (recordingConn) Rollback() error                     { return nil }

// TableExists is what goose asks for first; without it goose would try to find out.
func (r *recorder) TableExists(context.Context, database.DBTxConn) (bool, error) { return true, nil }

// GetMigration implements database.Store.
func (r *recorder) GetMigration(context.Context, database.DBTxConn, int64) (*database.GetMigrationResult, error) {
	if r.applied {
		return &database.GetMigrationResult{IsApplied: true}, nil
	}
	return nil, database.ErrVersionNotFound
}

// Insert implements database.Store.
func (r *recorder) Insert(context.Context, database.DBTxConn, database.InsertRequest) error {
	return nil
}

// Delete implements database.Store.
func (r *recorder) Delete(context.Context, database.DBTxConn, int64) error { return nil }
