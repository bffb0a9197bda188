package bridge_test

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/internal/bridge"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// numbers are the rows 1 to n.
type numbers struct {
	at, n  int64
	closed int
}

func (*numbers) Columns() []string { return []string{"n"} }
func (r *numbers) Close() error    { r.closed++; return nil }

func (r *numbers) Next(dest []driver.Value) error {
	if r.at == r.n {
		return io.EOF
	}
	r.at++
	dest[0] = r.at
	return nil
}

func TestRowsCrossAndAreClosedOnce(t *testing.T) {
	b := bridge.New()
	a, z := &numbers{n: 3}, &numbers{n: 2}
	first, err := b.Rows(a)
	require.NoError(t, err)
	second, err := b.Rows(z) // while the others are open
	require.NoError(t, err)
	columns, err := first.Columns()
	require.NoError(t, err)
	require.Equal(t, []string{"n"}, columns)
	sum := int64(0)
	for first.Next() {
		var n int64
		require.NoError(t, first.Scan(&n))
		sum += n
	}
	require.NoError(t, first.Err())
	require.EqualValues(t, 6, sum)
	require.NoError(t, second.Close())
	require.Equal(t, []int{1, 1}, []int{a.closed, z.closed})
}

func TestARowIsTheFirstOrTheError(t *testing.T) {
	b, r := bridge.New(), &numbers{n: 2}
	var n int64
	require.NoError(t, b.Row(r, nil).Scan(&n))
	require.EqualValues(t, 1, n)
	require.Equal(t, 1, r.closed)
	require.ErrorIs(t, b.Row(&numbers{}, nil).Scan(&n), sql.ErrNoRows)
	ours := errors.New("ours")
	require.Equal(t, ours, b.Row(nil, ours).Scan(&n))
}

// failing are rows that end with errors.
type failing struct {
	numbers
	next, close error
}

func (r *failing) Next(dest []driver.Value) error { return cmp.Or(r.next, r.numbers.Next(dest)) }
func (r *failing) Close() error                   { return cmp.Or(r.close, r.numbers.Close()) }

func TestTheFirstRowIsReadAndTheRestClosedBeforeItIsScanned(t *testing.T) {
	b, ours := bridge.New(), errors.New("ours")
	var n, m int64
	for range 3 { // what is used again has nothing of the time before
		r := &numbers{n: 2}
		row := b.First(r, nil)
		require.Equal(t, 1, r.closed)
		another := b.First(&numbers{at: 6, n: 9}, nil)
		none := b.First(&numbers{}, nil)
		require.NoError(t, another.Scan(&m))
		require.NoError(t, row.Scan(&n))
		require.Equal(t, []int64{1, 7}, []int64{n, m})
		require.ErrorIs(t, none.Scan(&n), sql.ErrNoRows)
		require.ErrorContains(t, b.First(&numbers{n: 1}, nil).Scan(&n, &m), "expected 1 destination arguments in Scan, not 2")
		require.Equal(t, ours, b.First(nil, ours).Scan(&n))
		require.Equal(t, ours, b.First(&failing{next: ours}, nil).Scan(&n))
		require.Equal(t, ours, b.First(&failing{numbers: numbers{n: 1}, close: ours}, nil).Scan(&n))
	}
	var all sync.WaitGroup
	for i := range int64(8) {
		all.Go(func() {
			for range 500 {
				var n int64
				assert.NoError(t, b.First(&numbers{at: i, n: i + 1}, nil).Scan(&n))
				assert.Equal(t, i+1, n)
			}
		})
	}
	all.Wait()
}

// statement is one that counts its runs.
type statement struct{ execs, closed int }

func (s *statement) Close() error                             { s.closed++; return nil }
func (*statement) NumInput() int                              { return -1 }
func (*statement) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }
func (*statement) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }
func (*statement) QueryContext(context.Context, []driver.NamedValue) (driver.Rows, error) {
	return &numbers{n: 1}, nil
}

func (s *statement) ExecContext(context.Context, []driver.NamedValue) (driver.Result, error) {
	s.execs++
	return driver.RowsAffected(7), nil
}

func TestAStatementCrossesAndRuns(t *testing.T) {
	under := new(statement)
	s, err := bridge.New().Stmt(under)
	require.NoError(t, err)
	res, err := s.ExecContext(t.Context())
	require.NoError(t, err)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 7, n)
	require.NoError(t, s.QueryRowContext(t.Context()).Scan(&n))
	require.EqualValues(t, 1, n)
	require.NoError(t, s.Close())
	require.Equal(t, []int{1, 1}, []int{under.execs, under.closed})
}
