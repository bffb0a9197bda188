package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/cmd/repogen/testdata/altered/gen"
	"github.com/sqlane/sqlane/cmd/repogen/testdata/altered/store"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestAMethodOfAnotherFormRunsAsItIs(t *testing.T) {
	p, err := pool.Open(t.Context(), pool.Config{Path: pool.Memory})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	_, err = p.DB().ExecContext(t.Context(), itemSchema)
	require.NoError(t, err)
	r := store.New(p)
	for i, kind := range []string{"a", "b", "a"} {
		id, err := r.AddItem(t.Context(), gen.AddItemParams{Kind: kind, Owner: 1})
		require.NoError(t, err)
		require.EqualValues(t, i+1, id)
	}
	n, err := r.CountItems(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 6, n, "it counts twice")
	ids, err := r.ListItems(t.Context(), gen.ListItemsParams{Ids: []int64{1, 2, 3}, Kind: "a"})
	require.NoError(t, err)
	require.Equal(t, []int64{3, 1}, ids, "backwards, and with the right numbers")
	err = r.DeleteItem(t.Context(), 1)
	require.ErrorIs(t, err, gen.ErrSpared)
	require.EqualError(t, err, "DeleteItem: spared")
	require.NoError(t, r.DeleteItem(t.Context(), 2))
	kinds, err := r.ListKindsSeq(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"a", "a"}, kinds, "a query comes before another one's iterator")
	for kind, err := range r.ListKindsSeqSeq(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, "a", kind)
	}
}

func TestVerboseNamesTheQueriesThatAreLessThanOthers(t *testing.T) {
	out := filepath.Join(t.TempDir(), "store.go")
	code, told, stderr := repogen("-gen", "testdata/altered/gen", "-out", out, "-package", "store", "-v")
	require.Zero(t, code, stderr)
	const form = "its method has not the form that repogen knows of sqlc\n"
	require.Equal(t, "CountItems runs sqlc's own method: "+form+"DeleteItem runs sqlc's own method: "+form+
		"ListItems runs sqlc's own method and has no iterator: "+form+"ListKinds has no iterator: ListKindsSeq is a query\n", told)
	code, told, _ = repogen("-gen", "testdata/altered/gen", "-out", out, "-package", "store")
	require.Zero(t, code)
	require.Empty(t, told)
}

// TestWhateverIsNotSqlcsIsSeen changes the methods of the shop a little, so that they
// would do something else, or might.
func TestWhateverIsNotSqlcsIsSeen(t *testing.T) {
	const shop = "testdata/shop/gen"
	text, err := os.ReadFile(filepath.Join(shop, "queries.sql.go"))
	require.NoError(t, err)
	told := func(t *testing.T, text string) string {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "gen")
		require.NoError(t, os.CopyFS(dir, os.DirFS(shop)))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "queries.sql.go"), []byte(text), 0o644))
		code, told, stderr := repogen("-gen", dir, "-out", filepath.Join(t.TempDir(), "store.go"), "-import", "example.org/gen", "-package", "store", "-v")
		require.Zero(t, code, stderr)
		return told
	}
	require.Empty(t, told(t, string(text)))
	require.Empty(t, told(t, strings.ReplaceAll(string(text), "\n\n", "\n// A comment, and another layout.\n\n")))
	for change, method := range map[[2]string]string{
		{"return i, err\n}\n\nconst dropOrders", "return i, nil\n}\n\nconst dropOrders"}:                                                                    "AddOrder",
		{"q.db.ExecContext(ctx, dropOrders, cents)", "q.db.ExecContext(context.Background(), dropOrders, cents)"}:                                           "DropOrders",
		{"q.db.ExecContext(ctx, dropOrders, cents)", "q.db.ExecContext(ctx, raise, cents)"}:                                                                 "DropOrders",
		{"q.db.ExecContext(ctx, dropOrders, cents)", "q.db.ExecContext(ctx, dropOrders, 2*cents)"}:                                                          "DropOrders",
		{"q.db.ExecContext(ctx, dropOrders, cents)", "q.db.ExecContext(ctx, dropOrders+` `, cents)"}:                                                        "DropOrders",
		{"return q.db.ExecContext(ctx, dropOrders, cents)", "return nil, nil"}:                                                                              "DropOrders",
		{"return result.LastInsertId()", "return result.RowsAffected()"}:                                                                                    "", // another form
		{"return result.LastInsertId()", "return 1, nil"}:                                                                                                   "AddCustomer",
		{"err := row.Scan(&i.ID, &i.Email, &i.Name)", "err := row.Scan(&i.ID, &i.Email, i.Name)"}:                                                           "GetCustomer",
		{"err := row.Scan(&i.ID, &i.Email, &i.Name)", "err := row.Scan(&i.ID, &i.Email, &name)"}:                                                            "GetCustomer",
		{"	var i Customer\n	err := row.Scan(", "	i := Customer{ID: 7}\n	err := row.Scan("}:                                                                  "GetCustomer",
		{"	defer rows.Close()\n	var items []TotalsRow", "	var items []TotalsRow"}:                                                                           "Totals",
		{"	var items []TotalsRow", "	items := make([]TotalsRow, 9)"}:                                                                                        "Totals",
		{"if err := rows.Scan(&i.Email, &i.Cents); err != nil {\n			return nil, err", "if err := rows.Scan(&i.Email, &i.Cents); err != nil {\n			continue"}: "Totals",
		{"\"/*SLICE:ids*/?\", \"NULL\", 1)", "\"/*SLICE:ids*/?\", \"0\", 1)"}:                                                                               "FindCustomers",
		{"queryParams = append(queryParams, v)", "queryParams = append(queryParams, v+1)"}:                                                                  "FindCustomers",
		{"	_, err := q.db.ExecContext(ctx, touch)\n	return err", "	q.db.ExecContext(ctx, touch)\n	return nil"}:                                              "Touch",
	} {
		changed := strings.Replace(string(text), change[0], change[1], 1)
		require.NotEqual(t, string(text), changed, change[0])
		got := told(t, changed)
		if method == "" {
			require.Empty(t, got, change[1])
			continue
		}
		require.Regexp(t, `^`+method+` runs sqlc's own method[^\n]*: [^\n]+\n$`, got, change[1])
	}
}

func TestColumnsInAnotherOrderAreReadInThatOrder(t *testing.T) {
	out, told := ofShop(t, "queries.sql.go", "err := row.Scan(&i.ID, &i.Email, &i.Name)", "err := row.Scan(&i.ID, &i.Name, &i.Email)")
	require.Empty(t, told)
	require.Contains(t, out, "func readCustomer(c *native.Call, i *gen.Customer) {\n\tnative.Int(c, &i.ID)\n\tnative.Text(c, &i.Email)\n\tnative.Pointer(c, &i.Name, native.Text)\n}\n")
	require.Contains(t, out, "func readCustomer2(c *native.Call, i *gen.Customer) {\n\tnative.Int(c, &i.ID)\n\tnative.Pointer(c, &i.Name, native.Text)\n\tnative.Text(c, &i.Email)\n}\n")
}

func TestWhatOnlyDatabaseSQLCanScanIntoRunsSqlcsOwnMethod(t *testing.T) {
	for change, reason := range map[string]string{
		"Email sql.RawBytes":                   "it scans into sql.RawBytes",
		"Email *sql.RawBytes":                  "it scans into sql.RawBytes",
		"Email Clock":                          "the type of i.Email is not known: ",
		"Email struct{ Email sql.NullString }": "",
	} {
		_, told := ofShop(t, "models.go", "Email string", change)
		if reason == "" {
			require.Empty(t, told)
			continue
		}
		require.Contains(t, told, "GetCustomer runs sqlc's own method: "+reason, change)
		require.NotContains(t, told, "AddOrder")
	}
	_, told := ofShop(t, "queries.sql.go", "err := row.Scan(&i.ID, &i.Email, &i.Name)", "err := row.Scan(&i.ID, &i.Email, &i.name)")
	require.Contains(t, told, "GetCustomer runs sqlc's own method: ")
}

// ofShop is what repogen makes of the shop with a change, and what it tells.
func ofShop(t *testing.T, file, from, to string) (made, told string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "gen")
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/shop/gen")))
	text, err := os.ReadFile(filepath.Join(dir, file))
	require.NoError(t, err)
	changed := strings.Replace(string(text), from, to, 1)
	require.NotEqual(t, string(text), changed)
	if strings.Contains(to, "sql.") {
		changed = strings.Replace(changed, "package gen\n", "package gen\n\nimport \"database/sql\"\n", 1)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(changed), 0o644))
	out := filepath.Join(t.TempDir(), "store.go")
	code, told, stderr := repogen("-gen", dir, "-out", out, "-import", "example.org/gen", "-package", "store", "-v")
	require.Zero(t, code, stderr)
	after, err := os.ReadFile(out)
	require.NoError(t, err)
	return string(after), told
}

func TestTypesThatCannotBeFoundRunSqlcsOwnMethod(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gen")
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/options/overrides")))
	repogenOn := func(list lister) (string, string) {
		t.Helper()
		out := filepath.Join(t.TempDir(), "store.go")
		var told, stderr strings.Builder
		code := run([]string{"-gen", dir, "-out", out, "-import", "example.org/gen", "-package", "store", "-v"}, &told, &stderr, list)
		require.Zero(t, code, stderr.String())
		text, err := os.ReadFile(out)
		require.NoError(t, err)
		return told.String(), string(text)
	}
	told, text := repogenOn(func(string, []string) (map[string]string, error) { return nil, errors.New("go is not there") })
	for _, query := range []string{"AddItem", "DeleteItem", "GetItem", "ListByID"} {
		require.Regexp(t, query+` runs sqlc's own method[^\n]*: the type of [^\n]+ is not known: go is not there`, told)
	}
	require.Contains(t, text, "overrides.New(q.db)")

	// Here there is no module, so that the standard library alone is found.
	told, text = repogenOn(goList)
	require.Contains(t, told, "AddItem runs sqlc's own method: the type of arg.Kind is not known: ")
	require.NotContains(t, told, "DeleteItem")
	require.Contains(t, text, `q.db.Call("DeleteItem", sqlDeleteItem).Int(id)`)

	_, err := goList(filepath.Join(dir, "nowhere"), []string{"context"})
	require.ErrorContains(t, err, "go list: ")
}

func TestNamesOfParametersDoNotStandInTheWayOfANativeMethod(t *testing.T) {
	names := []string{"c", "i", "v", "native", "iter", "q", "result", "err", "sqlGet", "sqlList", "readRow", "reads", "yield", "int64", "string", "len", "nil"}
	for _, name := range names {
		const other = "arg"
		list := func(kind string) string { return name + " []" + kind + ", " + other + " int64" }
		if predeclared(name) {
			list = func(string) string { return name + " []uint8, " + other + " uint64" } // it could not say its kinds itself
		}
		text := fmt.Sprintf(standard, "gen", "\t\"strings\"\n\t\"time\"\n", `
const get = "-- name: Get :one\nSELECT id FROM t WHERE a IN (/*SLICE:a*/?) AND b = ?"

const list = "-- name: List :many\nSELECT id FROM t"

var _ time.Time

type Querier interface {
	Get(ctx context.Context, `+list("int64")+`) (Row, error)
	List(ctx context.Context) ([]*Row, error)
}

func (q1 *Queries) Get(ctx context.Context, `+list("int64")+`) (Row, error) {
	query := get
	var queryParams []interface{}
	if len(`+name+`) > 0 {
		for _, v := range `+name+` {
			queryParams = append(queryParams, v)
		}
		query = strings.Replace(query, "/*SLICE:a*/?", strings.Repeat(",?", len(`+name+`))[1:], 1)
	} else {
		query = strings.Replace(query, "/*SLICE:a*/?", "NULL", 1)
	}
	queryParams = append(queryParams, `+other+`)
	row := q1.db.QueryRowContext(ctx, query, queryParams...)
	var i Row
	err := row.Scan(&i.ID)
	return i, err
}

func (q *Queries) List(ctx context.Context) ([]*Row, error) {
	rows, err := q.db.QueryContext(ctx, list)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	items := []*Row{}
	for rows.Next() {
		var i Row
		if err := rows.Scan(&i.ID); err != nil {
			return nil, err
		}
		items = append(items, &i)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return items, nil
}
`)
		dir := package1(t, map[string]string{"gen.go": text})
		out := filepath.Join(t.TempDir(), "store.go")
		code, told, stderr := repogen("-gen", dir, "-out", out, "-import", "example.org/a", "-package", "store", "-v")
		require.Zero(t, code, stderr)
		made, err := os.ReadFile(out)
		require.NoError(t, err)
		c := newCompiler(t)
		if err := c.check("example.org/a", text); err != nil {
			require.Contains(t, []string{"i", "err", "len", "nil"}, name, "%v: sqlc would not say so", err)
			continue
		}
		require.Empty(t, told, name)
		require.NoError(t, c.check("example.org/a/store", string(made)), string(made))
	}
}
