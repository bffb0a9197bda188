// Package sqlstore is a pool.Store on database/sql alone, without a pool.Pool: tests
// run generated repositories on it to see that pool.Store is all they need. It keeps
// the Store's promises with what database/sql has: one connection that writes, and
// others that cannot. EXCLUSIVE and DEFERRED are IMMEDIATE here, and a batch is a
// transaction of its own.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/sqlane/sqlane/pool"
	lib "modernc.org/sqlite/lib"
)

// Store is a pool.Store.
type Store struct{ read, write *sql.DB }

var _ pool.Store = (*Store)(nil)

// Open opens a database file, creating it if it is missing.
func Open(path string) (*Store, error) {
	const pragmas = "?_pragma=busy_timeout(60000)&_pragma=foreign_keys(1)&_pragma=synchronous(off)"
	write, err := sql.Open("sqlite", "file:"+path+pragmas+"&_pragma=journal_mode(wal)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", "file:"+path+pragmas+"&_pragma=query_only(1)")
	if err != nil {
		return nil, err
	}
	read.SetMaxOpenConns(8)
	return &Store{read, write}, write.Ping()
}

// DB is the connection that writes.
func (s *Store) DB() *sql.DB { return s.write }

// Close closes the database.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

// StoreReader implements pool.Store.
func (s *Store) StoreReader() pool.DBTX { return s.single(s.read) }

// StoreWriter implements pool.Store.
func (s *Store) StoreWriter() pool.DBTX { return s.single(s.write) }

func (s *Store) single(db *sql.DB) pool.DBTX {
	return runner(func(ctx context.Context) (pool.DBTX, error) {
		if t := s.txOf(ctx); t != nil {
			return t.alive(ctx)
		}
		return db, nil
	})
}

// StoreInTx implements pool.Store. Nothing can conflict, so nothing runs again.
func (s *Store) StoreInTx(ctx context.Context, level pool.Level, fn func(context.Context, pool.StoreTx) error, _ ...pool.TxOption) error {
	outer := s.txOf(ctx)
	switch {
	case level > pool.Exclusive:
		return &pool.Error{Op: "begin", Err: pool.ErrConfig}
	case outer == nil:
		return s.run(ctx, s.write, level, fn)
	case level > outer.level:
		return &pool.Error{Op: "begin", Err: pool.ErrNestedLevel}
	}
	return outer.Savepoint(ctx, fn)
}

// StoreBatch implements pool.Store.
func (s *Store) StoreBatch(ctx context.Context, fn func(context.Context, pool.StoreTx) error) error {
	if outer := s.txOf(ctx); outer != nil {
		return outer.Savepoint(ctx, fn)
	}
	return s.run(ctx, s.write, pool.Immediate, fn)
}

// StoreView implements pool.Store.
func (s *Store) StoreView(ctx context.Context, fn func(context.Context, pool.StoreTx) error) error {
	outer := s.txOf(ctx)
	switch {
	case outer == nil:
		return s.run(ctx, s.read, pool.Deferred, fn)
	case outer.readOnly:
		return outer.Savepoint(ctx, fn)
	}
	return outer.part(ctx, fn, true, "PRAGMA query_only=1", "PRAGMA query_only=0", "PRAGMA query_only=0")
}

// StoreWatch implements pool.Store. It runs fn after every commit, for which it looks
// at intervals.
func (s *Store) StoreWatch(ctx context.Context, fn func(context.Context, pool.StoreTx) error) iter.Seq[error] {
	return func(yield func(error) bool) {
		if s.txOf(ctx) != nil {
			yield(&pool.Error{Op: "watch", Err: pool.ErrDeadlock})
			return
		}
		conn, err := s.read.Conn(ctx) // the data version tells what others have committed
		if err != nil {
			yield(err)
			return
		}
		defer conn.Close()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for seen := int64(-1); ; <-tick.C {
			var now int64
			if err := conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&now); err != nil {
				yield(err)
				return
			}
			if now != seen && !yield(s.StoreView(ctx, fn)) {
				return
			}
			seen = now
		}
	}
}

// run runs fn in a transaction.
func (s *Store) run(ctx context.Context, db *sql.DB, level pool.Level, fn func(context.Context, pool.StoreTx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // if it is not committed: database/sql would leave one open whose commit fails
	outermost := s.newTx(tx, level, db == s.read, nil)
	err = outermost.run(ctx, fn)
	if err == nil {
		_, err = tx.ExecContext(ctx, "COMMIT")
		err = meaning(ctx, err)
	}
	if err == nil {
		_ = tx.Rollback() // which gives the connection back: there is nothing to undo
		call(outermost.after)
	}
	return err
}

// call calls the functions, though some of them may panic.
func call(functions []func()) {
	if len(functions) > 0 {
		defer call(functions[1:])
		functions[0]()
	}
}

type txKey struct{ store *Store }

func (s *Store) txOf(ctx context.Context) *tx {
	t, _ := ctx.Value(txKey{s}).(*tx)
	return t
}

// tx is a pool.StoreTx.
type tx struct {
	runner
	store *Store
	tx    *sql.Tx
	level pool.Level
	outer *tx // that this is a part of

	readOnly, ended bool
	after           []func() // what waits for the commit
}

func (s *Store) newTx(under *sql.Tx, level pool.Level, readOnly bool, outer *tx) *tx {
	t := &tx{store: s, tx: under, level: level, readOnly: readOnly, outer: outer}
	t.runner = t.alive
	return t
}

// alive is what runs the transaction's statements.
func (t *tx) alive(context.Context) (pool.DBTX, error) {
	for of := t; of != nil; of = of.outer {
		if of.ended {
			return nil, &pool.Error{Op: "query", Err: pool.ErrTxDone}
		}
	}
	return t.tx, nil
}

func (t *tx) run(ctx context.Context, fn func(context.Context, pool.StoreTx) error) error {
	defer func() { t.ended = true }()
	return fn(context.WithValue(ctx, txKey{t.store}, t), t)
}

// AfterCommit implements pool.StoreTx.
func (t *tx) AfterCommit(fn func()) {
	if _, err := t.alive(context.Background()); err == nil {
		t.after = append(t.after, fn)
	}
}

// Level implements pool.StoreTx.
func (t *tx) Level() pool.Level { return t.level }

// Savepoint implements pool.StoreTx.
func (t *tx) Savepoint(ctx context.Context, fn func(context.Context, pool.StoreTx) error) error {
	return t.part(ctx, fn, t.readOnly, "SAVEPOINT part", "RELEASE part", "ROLLBACK TO part; RELEASE part")
}

// part runs fn between two texts, the second of which says whether it is kept.
func (t *tx) part(ctx context.Context, fn func(context.Context, pool.StoreTx) error, readOnly bool, begin, keep, undo string) (err error) {
	if _, err := t.ExecContext(ctx, begin); err != nil {
		return err
	}
	end := undo
	defer func() {
		if _, failed := t.ExecContext(context.WithoutCancel(ctx), end); err == nil {
			err = failed
		}
	}()
	inner := t.store.newTx(t.tx, t.level, readOnly, t)
	if err = inner.run(ctx, fn); err == nil {
		end = keep
		t.after = append(t.after, inner.after...)
	}
	return err
}

// runner runs statements on what it returns, and gives their errors the Store's
// meaning.
type runner func(ctx context.Context) (pool.DBTX, error)

func (r runner) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	on, err := r(ctx)
	if err != nil {
		return nil, err
	}
	res, err := on.ExecContext(ctx, query, args...)
	return res, meaning(ctx, err)
}

func (r runner) PrepareContext(context.Context, string) (*sql.Stmt, error) {
	return nil, errors.ErrUnsupported
}

func (r runner) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	on, err := r(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := on.QueryContext(ctx, query, args...)
	return rows, meaning(ctx, err)
}

func (r runner) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	on, err := r(ctx)
	if err == nil {
		row := on.QueryRowContext(ctx, query, args...)
		if err = meaning(ctx, row.Err()); err == nil {
			return row
		}
	}
	return bridge.New().Row(nil, err) // nobody else can make a row that fails
}

// meaning is an error as a Store's.
func meaning(ctx context.Context, err error) error {
	code, _ := pool.Code(err)
	switch {
	case code&0xff == lib.SQLITE_READONLY:
		return fmt.Errorf("%w: %w", pool.ErrReadOnly, err)
	case errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil: // it is rolled back when the context ends
		return ctx.Err()
	case errors.Is(err, sql.ErrTxDone):
		return fmt.Errorf("%w: %w", pool.ErrTxDone, err)
	}
	return err
}
