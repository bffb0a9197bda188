package mix

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sqlane/sqlane/pool"
)

// operation is one that is being done, and the counter of its kind.
type operation struct {
	*Mix
	counter int
}

// kinds are what there is to do. Each returns how many increments of its
// counter are permanent.
var kinds = []struct {
	name string
	run  func(o operation, ctx context.Context) (added int, err error)
}{
	{"write", operation.write},
	{"readfirst", operation.readThenWrite},
	{"nested", operation.nested},
	{"byhand", operation.byHand},
	{"view", operation.view},
	{"batch", operation.batch},
	{"lease", operation.autocommit},
	{"returning", operation.returning},
	{"openrows", operation.openRows},
	{"rowsintx", operation.rowsOutliveTx},
	{"script", operation.script},
	{"ddl", operation.ddl},
	{"prepared", operation.prepared},
	{"sqldb", operation.sqlDB},
	{"sqltx", operation.sqlTx},
	{"cancelled", operation.cancelled},
	{"refused", operation.refused},
}

// errUndo is what a function fails with to have its work undone.
var errUndo = errors.New("undo this")

// dbtx is what leases, transactions and database/sql's types share.
type dbtx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

const addOne = "UPDATE counter SET n = n + 1 WHERE id = ?"

func exec(ctx context.Context, on dbtx, query string, args ...any) error {
	_, err := on.ExecContext(ctx, query, args...)
	return err
}

func number(ctx context.Context, on dbtx, query string, args ...any) (n int64, err error) {
	err = on.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, err
}

// audit counts the money, which is the same in every snapshot.
func audit(ctx context.Context, on dbtx) error {
	sum, err := number(ctx, on, "SELECT sum(balance) FROM account")
	if err == nil && sum != total {
		err = fmt.Errorf("the accounts hold %d, not %d", sum, total)
	}
	return err
}

func auditTx(ctx context.Context, tx *pool.Tx) error { return audit(ctx, tx) }

// pay moves money and counts that, in a transaction of the caller's. Half of it
// done is what nobody may ever see.
func (o operation) pay(ctx context.Context, on dbtx) error {
	amount := rand.IntN(10)
	if err := exec(ctx, on, "UPDATE account SET balance = balance - ? WHERE id = ?", amount, rand.IntN(accounts)); err != nil {
		return err
	}
	if err := o.add(ctx, on); err != nil {
		return err
	}
	return exec(ctx, on, "UPDATE account SET balance = balance + ? WHERE id = ?", amount, rand.IntN(accounts))
}

func (o operation) payTx(ctx context.Context, tx *pool.Tx) error { return o.pay(ctx, tx) }

func (o operation) add(ctx context.Context, on dbtx) error { return exec(ctx, on, addOne, o.counter) }

// onLease runs f on a lease.
func (o operation) onLease(ctx context.Context, f func(l *pool.Lease) error) error {
	l, err := o.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer l.Release()
	return f(l)
}

func anyLevel() pool.Level { return pool.Level(rand.IntN(int(pool.Exclusive) + 1)) }

// write needs no Repeatable at DEFERRED either, as it writes first.
func (o operation) write(ctx context.Context) (int, error) {
	return 1, o.pool.InTx(ctx, anyLevel(), func(ctx context.Context, tx *pool.Tx) error {
		if err := o.pay(ctx, tx); err != nil {
			return err
		}
		return audit(ctx, tx)
	})
}

func (o operation) readThenWrite(ctx context.Context) (int, error) {
	return 1, o.pool.InTx(ctx, pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		if err := audit(ctx, tx); err != nil {
			return err
		}
		return o.pay(ctx, tx)
	}, pool.Repeatable())
}

// nested keeps two of three savepoints; what the third one kept goes with it.
func (o operation) nested(ctx context.Context) (int, error) {
	return 3, o.pool.InTx(ctx, anyLevel(), func(ctx context.Context, tx *pool.Tx) error {
		if err := o.pay(ctx, tx); err != nil {
			return err
		}
		if err := o.pool.InTx(ctx, pool.Deferred, o.payTx); err != nil {
			return err
		}
		err := tx.Savepoint(ctx, func(ctx context.Context, tx *pool.Tx) error {
			if err := errors.Join(o.pay(ctx, tx), tx.Savepoint(ctx, o.payTx), o.pool.View(ctx, auditTx)); err != nil {
				return err
			}
			return errUndo
		})
		if err := o.met(err, errUndo); err != nil {
			return err
		}
		return errors.Join(o.pool.Batch(ctx, o.payTx), o.pool.View(ctx, auditTx))
	})
}

func (o operation) byHand(ctx context.Context) (int, error) {
	tx, err := o.pool.Begin(ctx, anyLevel())
	if err != nil {
		return 0, err
	}
	err = o.pay(ctx, tx)
	if err == nil && rand.IntN(2) == 0 {
		return 1, tx.Commit(ctx)
	}
	return 0, errors.Join(err, tx.Rollback(ctx))
}

func (o operation) view(ctx context.Context) (int, error) {
	const counted = "SELECT sum(n) FROM counter"
	return 0, o.pool.View(ctx, func(ctx context.Context, tx *pool.Tx) error {
		before, err := number(ctx, tx, counted)
		if err != nil {
			return err
		}
		if err := audit(ctx, tx); err != nil {
			return err
		}
		after, err := number(ctx, tx, counted)
		if err == nil && before != after {
			err = fmt.Errorf("one view read %d, then %d", before, after)
		}
		return err
	})
}

// batch has four members, so that some of them meet. Two fail, and undo their
// own work and nobody else's.
func (o operation) batch(ctx context.Context) (int, error) {
	fails := func(ctx context.Context, tx *pool.Tx) error {
		if err := o.pay(ctx, tx); err != nil {
			return err
		}
		return errUndo
	}
	panics := func(ctx context.Context, tx *pool.Tx) error {
		if err := o.pay(ctx, tx); err != nil {
			return err
		}
		panic(errUndo)
	}
	var errs [4]error
	var wg sync.WaitGroup
	for i, member := range []func(context.Context, *pool.Tx) error{o.payTx, fails, o.payTx, panics} {
		wg.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					errs[i] = r.(error)
				}
			}()
			errs[i] = o.pool.Batch(ctx, member)
		})
	}
	wg.Wait()
	return 2, errors.Join(errs[0], o.met(errs[1], errUndo), errs[2], o.met(errs[3], errUndo))
}

func (o operation) autocommit(ctx context.Context) (int, error) {
	return 2, o.onLease(ctx, func(l *pool.Lease) error {
		if err := o.add(ctx, l); err != nil {
			return err
		}
		if err := audit(ctx, l); err != nil {
			return err
		}
		return o.add(ctx, l)
	})
}

// returning holds the rows of a write open while the same lease does more.
func (o operation) returning(ctx context.Context) (int, error) {
	return 2, o.onLease(ctx, func(l *pool.Lease) error {
		rows, err := l.QueryContext(ctx, addOne+" RETURNING n", o.counter)
		if err != nil {
			return err
		}
		defer rows.Close()
		if !rows.Next() {
			return errors.Join(errors.New("nothing returned"), rows.Err())
		}
		if err := errors.Join(audit(ctx, l), o.add(ctx, l)); err != nil {
			return err
		}
		return errors.Join(rows.Close(), audit(ctx, l))
	})
}

// openRows reads on after others have written, itself included where that is
// no deadlock, and sees nothing of it.
func (o operation) openRows(ctx context.Context) (added int, err error) {
	return added, o.onLease(ctx, func(l *pool.Lease) error {
		rows, err := l.QueryContext(ctx, "SELECT id, balance FROM account")
		if err != nil {
			return err
		}
		defer rows.Close()
		var sum, id, held int
		for rows.Next() {
			if err := rows.Scan(&id, &held); err != nil {
				return err
			}
			sum += held
			switch {
			case id != accounts/2:
			case o.beside:
				if err := o.pool.InTx(ctx, pool.Immediate, o.payTx); err != nil {
					return err
				}
				added = 1
			default:
				if err := audit(ctx, l); err != nil {
					return err
				}
			}
		}
		if sum != total {
			err = fmt.Errorf("one query read %d in all accounts, not %d", sum, total)
		}
		return errors.Join(rows.Err(), err)
	})
}

// rowsOutliveTx leaves rows open at the end of a transaction, which ends them.
func (o operation) rowsOutliveTx(ctx context.Context) (int, error) {
	var rows *sql.Rows
	err := o.pool.InTx(ctx, anyLevel(), func(ctx context.Context, tx *pool.Tx) (err error) {
		if rows, err = tx.QueryContext(ctx, "UPDATE counter SET n = n + (id = ?) RETURNING id", o.counter); err != nil {
			return err
		}
		if !rows.Next() {
			return rows.Err()
		}
		return tx.Savepoint(ctx, auditTx)
	})
	if err != nil {
		return 0, err
	}
	if rows.Next() {
		return 0, errors.New("rows outlived their transaction")
	}
	err = o.met(rows.Err(), pool.ErrTxDone)
	return 1, errors.Join(err, rows.Close())
}

func (o operation) script(ctx context.Context) (int, error) {
	err := o.onLease(ctx, func(l *pool.Lease) error {
		return exec(ctx, l, `
			INSERT INTO note VALUES ('a;b'); -- not the end of a statement
			UPDATE counter SET n = n + 1 WHERE id = ?1;
			DELETE FROM note;`, o.counter)
	})
	if err != nil {
		return 0, err
	}
	return 2, o.pool.InTx(ctx, anyLevel(), func(ctx context.Context, tx *pool.Tx) error {
		return exec(ctx, tx, `
			UPDATE account SET balance = balance - 1 WHERE id = 0;
			UPDATE counter SET n = n + 1 WHERE id = ?1;
			UPDATE account SET balance = balance + 1 WHERE id = 1`, o.counter)
	})
}

// ddl changes the schema under everybody's prepared statements.
func (o operation) ddl(ctx context.Context) (int, error) {
	name := fmt.Sprintf("own%d", o.ownTable.Add(1))
	err := o.onLease(ctx, func(l *pool.Lease) error {
		if err := exec(ctx, l, "CREATE TABLE "+name+" (v); INSERT INTO "+name+" VALUES (1), (2)"); err != nil {
			return err
		}
		n, err := number(ctx, l, "SELECT sum(v) FROM "+name)
		if err == nil && n != 3 {
			err = fmt.Errorf("%s holds %d, not 3", name, n)
		}
		return errors.Join(err, exec(ctx, l, "DROP TABLE "+name))
	})
	if err != nil {
		return 0, err
	}
	err = o.pool.InTx(ctx, anyLevel(), func(ctx context.Context, tx *pool.Tx) error {
		if err := exec(ctx, tx, "CREATE TABLE "+name+" AS SELECT * FROM account"); err != nil {
			return err
		}
		return errUndo
	})
	return 0, o.met(err, errUndo)
}

func (o operation) prepared(ctx context.Context) (int, error) {
	twice := func(s *sql.Stmt, err error) error {
		if err != nil {
			return err
		}
		defer s.Close()
		for range 2 {
			if _, err := s.ExecContext(ctx, o.counter); err != nil {
				return err
			}
		}
		return nil
	}
	if err := o.onLease(ctx, func(l *pool.Lease) error { return twice(l.PrepareContext(ctx, addOne)) }); err != nil {
		return 0, err
	}
	return 4, o.pool.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		return twice(tx.PrepareContext(ctx, addOne))
	})
}

func (o operation) sqlDB(ctx context.Context) (int, error) {
	if _, err := o.stmt.ExecContext(ctx, o.counter); err != nil {
		return 0, err
	}
	if err := audit(ctx, o.pool.DB()); err != nil {
		return 0, err
	}
	c, err := o.pool.DB().Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := exec(ctx, c, "BEGIN IMMEDIATE"); err != nil {
		return 0, err
	}
	if err := o.pay(ctx, c); err != nil {
		return 0, err
	}
	return 2, exec(ctx, c, "COMMIT")
}

func (o operation) sqlTx(ctx context.Context) (int, error) {
	view, err := o.pool.DB().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	if err := errors.Join(audit(ctx, view), view.Commit()); err != nil {
		return 0, err
	}
	isolation := []sql.IsolationLevel{sql.LevelDefault, sql.LevelSerializable, sql.LevelLinearizable}[rand.IntN(3)]
	tx, err := o.pool.DB().BeginTx(ctx, &sql.TxOptions{Isolation: isolation})
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	if err := o.pay(ctx, tx); err != nil {
		return 0, err
	}
	if err := exec(ctx, tx, "SAVEPOINT mine"); err != nil {
		return 0, err
	}
	if _, err := tx.StmtContext(ctx, o.stmt).ExecContext(ctx, o.counter); err != nil {
		return 0, err
	}
	if err := exec(ctx, tx, "ROLLBACK TO mine; RELEASE mine"); err != nil {
		return 0, err
	}
	return 1, tx.Commit()
}

// cancelled does one of several things under a context that ends at some time:
// before it, while it waits, while it works, or too late to matter. An error
// means that nothing was done.
func (o operation) cancelled(ctx context.Context) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	early := time.AfterFunc(time.Duration(rand.IntN(20_000))*time.Microsecond, cancel)
	inside := rand.IntN(2) == 0
	if inside {
		early.Stop()
	}
	defer early.Stop()
	pay := func(ctx context.Context, on dbtx) error {
		if inside {
			go cancel()
		}
		return o.pay(ctx, on)
	}
	payTx := func(ctx context.Context, tx *pool.Tx) error { return pay(ctx, tx) }

	added, err := 1, error(nil)
	switch rand.IntN(5) {
	case 0:
		err = o.pool.InTx(ctx, anyLevel(), payTx)
	case 1:
		err = o.pool.Batch(ctx, payTx)
	case 2:
		err = o.onLease(ctx, func(l *pool.Lease) error {
			if inside {
				go cancel()
			}
			return o.add(ctx, l)
		})
	case 3:
		err = o.cancelledSQLTx(ctx, pay)
	case 4:
		added = 0
		err = o.pool.View(ctx, func(ctx context.Context, tx *pool.Tx) error {
			if inside {
				go cancel()
			}
			_, err := number(ctx, tx, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c")
			return err
		})
	}
	if err == nil {
		return added, nil
	}
	return 0, o.met(err, context.Canceled, sql.ErrTxDone)
}

func (o operation) cancelledSQLTx(ctx context.Context, pay func(context.Context, dbtx) error) error {
	tx, err := o.pool.DB().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := pay(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// refused does what is not allowed. The transaction goes on.
func (o operation) refused(ctx context.Context) (int, error) {
	var done *pool.Tx
	err := o.pool.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		done = tx
		_, deadlock := o.pool.Begin(ctx, pool.Immediate)
		return errors.Join(
			o.met(exec(ctx, tx, "COMMIT"), pool.ErrTxControl),
			o.met(o.pool.InTx(ctx, pool.Exclusive, auditTx), pool.ErrNestedLevel),
			o.met(deadlock, pool.ErrDeadlock),
			o.met(o.pool.View(ctx, o.payTx), pool.ErrReadOnly),
			o.pay(ctx, tx))
	})
	if err != nil {
		return 0, err
	}
	var released *pool.Lease
	if err := o.onLease(ctx, func(l *pool.Lease) error { released = l; return nil }); err != nil {
		return 0, err
	}
	return 1, errors.Join(
		o.met(o.pay(ctx, done), pool.ErrTxDone),
		o.met(audit(ctx, released), pool.ErrReleased))
}
