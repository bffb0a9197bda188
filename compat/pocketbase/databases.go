package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/pocketbase/dbx"
	"github.com/sqlane/sqlane/pool"
)

// databases are the pools of PocketBase's files, one each. PocketBase opens a file
// twice, to read it by many connections and to write it by one, and closes both when
// it ends or starts anew; with the last of them the pool is closed.
type databases struct {
	mu   sync.Mutex
	open map[string]*database // by path
}

type database struct {
	pool    *pool.Pool
	handles int
}

// connect is PocketBase's DBConnect. The settings are those of PocketBase's own; busy
// timeout, journal mode and foreign keys are the pool's business anyway.
func (d *databases) connect(path string) (*dbx.DB, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		d.open = map[string]*database{}
	}
	db := d.open[path]
	if db == nil {
		p, err := pool.Open(context.Background(), pool.Config{
			Path:           path,
			MaxConns:       16,
			AcquireTimeout: 30 * time.Second, // as PocketBase's own limit of a query
			BusyTimeout:    10 * time.Second,
			Synchronous:    pool.SyncNormal,
			Pragmas:        map[string]string{"temp_store": "memory", "cache_size": "-32000", "journal_size_limit": "200000000"},
		})
		if err != nil {
			return nil, err
		}
		db = &database{pool: p}
		d.open[path] = db
	}
	db.handles++
	return dbx.NewFromDB(sql.OpenDB(&handle{Connector: db.pool.Connector(), close: sync.OnceValue(func() error { return d.release(path, db) })}), "sqlite"), nil
}

// release is called once for each handle.
func (d *databases) release(path string, db *database) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if db.handles--; db.handles > 0 {
		return nil
	}
	delete(d.open, path)
	return db.pool.Close()
}

// handle is a connector that tells when its *sql.DB is closed.
type handle struct {
	driver.Connector
	close func() error
}

// Close implements io.Closer, which database/sql calls.
func (h *handle) Close() error {
	var err error
	if c, ok := h.Connector.(io.Closer); ok {
		err = c.Close()
	}
	return errors.Join(err, h.close())
}
