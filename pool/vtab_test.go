package pool_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite/vtab"
)

// fickle is a virtual table of the program's whose part of a commit may not return.
type fickle struct{}

var (
	fickleSync     atomic.Pointer[func()] // what the next commit of one calls, once
	registerFickle = sync.OnceValue(func() error { return vtab.RegisterModule(nil, "fickle", fickle{}) })
)

func (f fickle) Create(ctx vtab.Context, _ []string) (vtab.Table, error) {
	return f, ctx.Declare("CREATE TABLE x (a)")
}

func (f fickle) Connect(ctx vtab.Context, args []string) (vtab.Table, error) {
	return f.Create(ctx, args)
}
func (fickle) BestIndex(*vtab.IndexInfo) error          { return nil }
func (fickle) Open() (vtab.Cursor, error)               { return nil, nil }
func (fickle) Disconnect() error                        { return nil }
func (fickle) Destroy() error                           { return nil }
func (fickle) Insert([]vtab.Value, *int64) error        { return nil }
func (fickle) Update(int64, []vtab.Value, *int64) error { return nil }
func (fickle) Delete(int64) error                       { return nil }
func (fickle) Begin() error                             { return nil }
func (fickle) Commit() error                            { return nil }
func (fickle) Rollback() error                          { return nil }
func (fickle) Savepoint(int) error                      { return nil }
func (fickle) Release(int) error                        { return nil }
func (fickle) RollbackTo(int) error                     { return nil }
func (fickle) Sync() error {
	if f := fickleSync.Swap(nil); f != nil {
		(*f)()
	}
	return nil
}

func TestACommitThatDoesNotReturnKeepsNobodyWaiting(t *testing.T) {
	require.NoError(t, registerFickle())
	for name, leave := range map[string]func(){"panic": func() { panic("ours") }, "exit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			p := open(t, pool.Config{})
			run(t, p, "CREATE VIRTUAL TABLE f USING fickle")
			know(t, p, "INSERT INTO f VALUES (1)")
			know(t, p, "INSERT INTO heap VALUES (?)", 0)
			fickleSync.Store(&leave)
			var lost, over atomic.Int64
			member := func(query string, args ...any) func() {
				return func() {
					var wg sync.WaitGroup
					wg.Add(1)
					go func() { // its own, since it may be the one that ends the batch
						defer wg.Done()
						defer func() { _ = recover() }()
						over.Add(1)
						if err := send(t.Context(), p, query, args...); err != nil {
							assert.ErrorIs(t, err, pool.ErrTxLost)
							lost.Add(1)
						}
					}()
					wg.Wait()
				}
			}
			lineUp(t, p, member("INSERT INTO heap VALUES (?)", 1), member("INSERT INTO f VALUES (1)"), member("INSERT INTO heap VALUES (?)", 2))
			require.EqualValues(t, 3, over.Load())
			require.EqualValues(t, 2, lost.Load(), "but for the one in whose goroutine it happened")
			require.Nil(t, fickleSync.Load(), "it happened")
			requireAtRest(t, p)
			require.Zero(t, get(t, p, "SELECT count(*) FROM heap WHERE b > 0"))
		})
	}
}
