package main

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/cmd/repogen/testdata/shop/gen"
	"github.com/sqlane/sqlane/cmd/repogen/testdata/shop/store"
	"github.com/sqlane/sqlane/internal/sqlstore"
	"github.com/sqlane/sqlane/internal/trial"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/require"

	_ "embed"
)

//go:embed testdata/shop/schema.sql
var shopSchema string

// inShop runs a test on a shop in a file, in memory and on a Store that is no pool.
func inShop(t *testing.T, test func(t *testing.T, s *store.Repo)) {
	for name, opts := range map[string][]pooltest.Option{"file": {pooltest.File()}, "memory": nil} {
		t.Run(name, func(t *testing.T) {
			p := pooltest.New(t, opts...)
			lease, err := p.Acquire(t.Context())
			require.NoError(t, err)
			_, err = lease.ExecContext(t.Context(), shopSchema)
			require.NoError(t, err)
			lease.Release()
			test(t, store.New(p))
		})
	}
	t.Run("database/sql", func(t *testing.T) {
		s, err := sqlstore.Open(filepath.Join(t.TempDir(), "shop.db"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		_, err = s.DB().ExecContext(t.Context(), shopSchema)
		require.NoError(t, err)
		test(t, store.New(s))
	})
	if s := trial.Cluster(t); s != nil {
		t.Run("cluster", func(t *testing.T) {
			_, err := s.DB().ExecContext(t.Context(), shopSchema)
			require.NoError(t, err)
			test(t, store.New(s))
		})
	}
}

// buy calls every query, on whatever it is given.
func buy(ctx context.Context, t *testing.T, q gen.Querier, email string) {
	t.Helper()
	name := "Ada"
	id, err := q.AddCustomer(ctx, gen.AddCustomerParams{Email: email, Name: &name})
	require.NoError(t, err)
	customer, err := q.GetCustomer(ctx, email)
	require.NoError(t, err)
	require.Equal(t, gen.Customer{ID: id, Email: email, Name: &name}, customer)

	all, err := q.ListCustomers(ctx)
	require.NoError(t, err)
	require.Contains(t, all, customer)
	found, err := q.FindCustomers(ctx, gen.FindCustomersParams{Ids: []int64{id, id + 1}})
	require.NoError(t, err)
	require.Equal(t, []gen.Customer{customer}, found)
	nobody := "Nobody"
	found, err = q.FindCustomers(ctx, gen.FindCustomersParams{Ids: []int64{id}, Name: &nobody})
	require.NoError(t, err)
	require.Empty(t, found)

	require.NoError(t, q.RenameCustomer(ctx, gen.RenameCustomerParams{Email: email, Name: &nobody}))
	customer.Name = &nobody
	order, err := q.AddOrder(ctx, gen.AddOrderParams{CustomerID: id, Pool: email, Cents: 95})
	require.NoError(t, err)
	dearer, err := q.Raise(ctx, 10)
	require.NoError(t, err)
	require.EqualValues(t, 1, dearer)
	order.Cents = 105
	orders, err := q.ListOrders(ctx, email)
	require.NoError(t, err)
	require.Equal(t, []gen.ListOrdersRow{{Customer: customer, Order: order}}, orders)
	totals, err := q.Totals(ctx)
	require.NoError(t, err)
	require.Equal(t, []gen.TotalsRow{{Email: email, Cents: 105}}, totals)
	require.NoError(t, q.Touch(ctx))
	dropped, err := q.DropOrders(ctx, 1000)
	require.NoError(t, err)
	n, err := dropped.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

func TestEveryMethodRunsOutsideATransaction(t *testing.T) {
	inShop(t, func(t *testing.T, s *store.Repo) { buy(t.Context(), t, s, "ada@example.org") })
}

func TestEveryMethodRunsInATransactionThatIsKeptOrUndone(t *testing.T) {
	inShop(t, func(t *testing.T, s *store.Repo) {
		undo := errors.New("undo")
		err := s.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *store.Tx) error {
			buy(ctx, t, tx, "tx@example.org")
			buy(ctx, t, s, "context@example.org")
			return tx.Savepoint(ctx, func(ctx context.Context, tx *store.Tx) error {
				buy(ctx, t, tx, "savepoint@example.org")
				return undo
			})
		})
		require.Same(t, undo, err)
		left, err := s.ListCustomers(t.Context())
		require.NoError(t, err)
		require.Empty(t, left)

		require.NoError(t, s.Batch(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			buy(ctx, t, tx, "kept@example.org")
			return nil
		}))
		require.NoError(t, s.View(t.Context(), func(ctx context.Context, q store.Reader) error {
			left, err = q.ListCustomers(ctx)
			require.NoError(t, err)
			_, err = q.GetCustomer(ctx, "nobody@example.org")
			require.ErrorIs(t, err, store.ErrNotFound)
			_, err = q.FindCustomers(ctx, gen.FindCustomersParams{Ids: []int64{1}})
			require.NoError(t, err)
			_, err = q.ListOrders(ctx, "none")
			require.NoError(t, err)
			_, err = q.Totals(ctx)
			require.NoError(t, err)
			_, writes := q.(gen.Querier)
			require.False(t, writes, "a view offers no writing query, not by a type assertion either")
			return q.Touch(ctx)
		}))
		require.Len(t, left, 1)
	})
}

func TestErrorsAreToldApart(t *testing.T) {
	inShop(t, func(t *testing.T, s *store.Repo) {
		ctx := t.Context()
		id, err := s.AddCustomer(ctx, gen.AddCustomerParams{Email: "a"})
		require.NoError(t, err)
		_, err = s.AddCustomer(ctx, gen.AddCustomerParams{Email: "a"})
		require.ErrorIs(t, err, store.ErrDuplicate)
		require.ErrorContains(t, err, "AddCustomer: ")
		_, err = s.AddOrder(ctx, gen.AddOrderParams{CustomerID: id, Pool: ""})
		require.ErrorIs(t, err, store.ErrCheck)
		_, err = s.GetCustomer(ctx, "b")
		require.ErrorIs(t, err, store.ErrNotFound)
		require.ErrorIs(t, err, sql.ErrNoRows)
		err = s.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.AddOrder(ctx, gen.AddOrderParams{CustomerID: 99, Pool: "p"})
			return err
		})
		require.ErrorIs(t, err, store.ErrForeignKey, "a deferred foreign key fails at commit")
	})
}
