package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	godqlite "github.com/canonical/go-dqlite/client"
	"github.com/canonical/go-dqlite/driver"
	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
)

// client is one way to use a cluster.
type client interface {
	// write inserts a row, durably.
	write(ctx context.Context, owner int, text string) error
	// read returns the owner of a row.
	read(ctx context.Context, id int64) (owner int, err error)
	Close() error
}

const (
	insert = "INSERT INTO notes (owner, text) VALUES (?, ?)"
	lookUp = "SELECT owner, text FROM notes WHERE id = ?"
)

// peer is one who takes part. How each is configured the program that asks says too.
type peer struct {
	open func(ctx context.Context, members []string, database string) (client, error)
	ours bool
}

var peers = map[string]peer{
	"sqlane":             {open: openStore, ours: true},
	"go-dqlite ad hoc":   {open: openAdHoc},
	"go-dqlite one":      {open: openOne},
	"go-dqlite prepared": {open: openPrepared},
	"go-dqlite tx":       {open: openTx},
}

// store is sqlane.
type store struct {
	*dqlite.Store
	writer, reader pool.DBTX
}

func openStore(ctx context.Context, members []string, database string) (client, error) {
	s, err := dqlite.Open(ctx, dqlite.Config{Members: members, Database: database, Plaintext: true})
	if err != nil {
		return nil, err
	}
	return store{s, s.StoreWriter(), s.StoreReader()}, nil
}

func (s store) write(ctx context.Context, owner int, text string) error {
	_, err := s.writer.ExecContext(ctx, insert, owner, text)
	return err
}

func (s store) read(ctx context.Context, id int64) (int, error) {
	return scan(s.reader.QueryRowContext(ctx, lookUp, id))
}

func scan(row *sql.Row) (owner int, err error) {
	var text string
	err = row.Scan(&owner, &text)
	return owner, err
}

// open is a *sql.DB of go-dqlite's, as sql.Open makes it of the driver's name.
func open(ctx context.Context, members []string, database string, most int) (*sql.DB, error) {
	known := godqlite.NewInmemNodeStore()
	var all []godqlite.NodeInfo
	for i, address := range members {
		all = append(all, godqlite.NodeInfo{ID: uint64(i + 1), Address: address})
	}
	if err := known.Set(ctx, all); err != nil {
		return nil, err
	}
	d, err := driver.New(known, driver.WithLogFunc(func(godqlite.LogLevel, string, ...any) {}))
	if err != nil {
		return nil, err
	}
	c, err := d.OpenConnector(database)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	if db.SetMaxOpenConns(most); most > 2 {
		db.SetMaxIdleConns(most)
	}
	return db, nil
}

// plain is go-dqlite with nothing but a limit of its connections.
type plain struct{ *sql.DB }

func openAdHoc(ctx context.Context, members []string, database string) (client, error) {
	db, err := open(ctx, members, database, 0)
	return plain{db}, err
}

func openOne(ctx context.Context, members []string, database string) (client, error) {
	db, err := open(ctx, members, database, 1)
	return plain{db}, err
}

func (p plain) write(ctx context.Context, owner int, text string) error {
	_, err := p.ExecContext(ctx, insert, owner, text)
	return err
}

func (p plain) read(ctx context.Context, id int64) (int, error) {
	return scan(p.QueryRowContext(ctx, lookUp, id))
}

// prepared is go-dqlite with one connection for writing and as many for reading as a Store
// has, and statements that were prepared.
type prepared struct {
	writer, reader *sql.DB
	insert, lookUp *sql.Stmt
}

const readers = 7

func openPrepared(ctx context.Context, members []string, database string) (client, error) {
	writer, err := open(ctx, members, database, 1)
	if err != nil {
		return nil, err
	}
	reader, err := open(ctx, members, database, readers)
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	p := prepared{writer: writer, reader: reader}
	if p.insert, err = writer.PrepareContext(ctx, insert); err == nil {
		p.lookUp, err = reader.PrepareContext(ctx, lookUp)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p prepared) write(ctx context.Context, owner int, text string) error {
	_, err := p.insert.ExecContext(ctx, owner, text)
	return err
}

func (p prepared) read(ctx context.Context, id int64) (int, error) {
	return scan(p.lookUp.QueryRowContext(ctx, id))
}

func (p prepared) Close() error { return errors.Join(p.writer.Close(), p.reader.Close()) }

// inTx is go-dqlite with one connection and a transaction for each row.
type inTx struct{ plain }

func openTx(ctx context.Context, members []string, database string) (client, error) {
	db, err := open(ctx, members, database, 1)
	return inTx{plain{db}}, err
}

func (p inTx) write(ctx context.Context, owner int, text string) error {
	tx, err := p.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, insert, owner, text); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (p inTx) read(context.Context, int64) (int, error) {
	return 0, fmt.Errorf("nobody reads one row in a transaction: %w", errors.ErrUnsupported)
}
