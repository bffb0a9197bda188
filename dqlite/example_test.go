package dqlite_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
)

// A Store is opened where a pool was, and a repository goes on as it is.
func Example() {
	s, err := dqlite.Open(context.Background(), dqlite.Config{
		Members:   []string{"10.0.0.1:9001", "10.0.0.2:9001", "10.0.0.3:9001"},
		Plaintext: true, // on a network of their own; else TLS
	})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	err = s.StoreInTx(context.Background(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO orders (item) VALUES (?)", "a lamp")
		return err
	}, pool.Repeatable())
	fmt.Println(err)
}

// DB is for what knows nothing but database/sql, such as a tool that migrates.
func ExampleStore_DB() {
	s, err := dqlite.Open(context.Background(), dqlite.Config{Members: []string{"10.0.0.1:9001"}, Plaintext: true})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	if _, err := s.DB().ExecContext(context.Background(), "CREATE TABLE IF NOT EXISTS orders (item TEXT NOT NULL)"); err != nil {
		log.Fatal(err)
	}
}

// exactlyOnce runs fn in a transaction that is committed once, whatever becomes of the
// leader. The key is the caller's own, of the request that asks for the work, and the same
// when that is tried again. It stands in a table
//
//	CREATE TABLE done (key TEXT PRIMARY KEY) WITHOUT ROWID;
//
// in the same transaction: where the row is the work is, and where it is not there is none.
func exactlyOnce(ctx context.Context, s pool.Store, key string, fn func(ctx context.Context, tx pool.StoreTx) error) error {
	for {
		err := s.StoreInTx(ctx, pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
			var done bool
			err := tx.QueryRowContext(ctx, "SELECT true FROM done WHERE key = ?", key).Scan(&done)
			if !errors.Is(err, sql.ErrNoRows) {
				return err // nil if it was done before
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO done (key) VALUES (?)", key); err != nil {
				return err
			}
			return fn(ctx, tx)
		}, pool.Repeatable())
		if !errors.Is(err, dqlite.ErrCommitUnknown) {
			return err
		}
		// The next transaction finds out. It waits until there is a leader, for
		// AcquireTimeout at most, and what the last one committed that leader has.
	}
}

// Whoever gets ErrCommitUnknown finds out by a row with a key of its own, written in the
// same transaction. See exactlyOnce, which is
//
//	for {
//		err := s.StoreInTx(ctx, pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
//			// nil if the row with the key is there; else insert it, and do the work
//		}, pool.Repeatable())
//		if !errors.Is(err, dqlite.ErrCommitUnknown) {
//			return err
//		}
//	}
func Example_exactlyOnce() {
	s, err := dqlite.Open(context.Background(), dqlite.Config{Members: []string{"10.0.0.1:9001"}, Plaintext: true})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	key := rand.Text() // chosen by whoever asks, once for each request
	err = exactlyOnce(context.Background(), s, key, func(ctx context.Context, tx pool.StoreTx) error {
		_, err := tx.ExecContext(ctx, "UPDATE accounts SET cents = cents - 100 WHERE id = ?", 7)
		return err
	})
	fmt.Println(err)
}

// TestARowWithTheCallersKeyTellsWhetherTheCommitTookPlace breaks every commit but the last
// in each way.
func TestARowWithTheCallersKeyTellsWhetherTheCommitTookPlace(t *testing.T) {
	for name, v := range some(undecided) {
		for broken := range 3 {
			t.Run(fmt.Sprint(name, ", ", broken), func(t *testing.T) {
				inCluster(t, func(t *testing.T, c *cluster) {
					c.sql("CREATE TABLE done (key TEXT PRIMARY KEY) WITHOUT ROWID")
					c.sql("INSERT INTO n (v) VALUES (100)")
					s := c.open()
					c.times(broken, "COMMIT", v)
					if v.dies {
						time.AfterFunc(2*time.Second, func() { c.elect(c.nodes[1]) })
						c.times(min(broken, 1), "COMMIT", v)
					}
					pay := func() error {
						return exactlyOnce(t.Context(), s, "request 1", doing("UPDATE n SET v = v - 1"))
					}
					require.NoError(t, pay())
					require.Equal(t, []int{99}, c.values())
					require.NoError(t, pay(), "the whole is tried again")
					require.Equal(t, []int{99}, c.values())
					c.once("UPDATE", verdict{code: wire.CodeNotLeader})
					require.NoError(t, exactlyOnce(t.Context(), s, "request 2", doing("UPDATE n SET v = v - 1")))
					require.Equal(t, []int{98}, c.values())
					require.Equal(t, errOurs, exactlyOnce(t.Context(), s, "request 3", func(context.Context, pool.StoreTx) error { return errOurs }))
					atRest(t, s)
				})
			})
		}
	}
}
