package sqlane_test

import (
	"context"
	"database/sql"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/request"
	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/native"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/sqlane/sqlane/repo"
	"github.com/sqlane/sqlane/schema"
	"github.com/stretchr/testify/require"
)

// nobody is what functions get that want a context.
var nobody context.Context

// call calls a function with zero values, nil where there is nil, but for those that are
// given in their place, and returns how it has failed.
func call(fn reflect.Value, given ...any) error {
	kind := fn.Type()
	var args []reflect.Value
	for i := range kind.NumIn() {
		if i == kind.NumIn()-1 && kind.IsVariadic() {
			break
		}
		arg := reflect.Zero(kind.In(i))
		for _, g := range given {
			if v := reflect.ValueOf(g); v.Type().AssignableTo(kind.In(i)) {
				arg = v
			}
		}
		args = append(args, arg)
	}
	for _, result := range fn.Call(args) {
		if err := failure(result); err != nil {
			return err
		}
	}
	return nil
}

// failure is the error that a result is, or that it has.
func failure(result reflect.Value) error {
	if k := result.Kind(); (k == reflect.Pointer || k == reflect.Interface) && result.IsNil() {
		return nil
	}
	switch r := result.Interface().(type) {
	case error:
		return r
	case pool.Row: // *sql.Row is one
		return r.Scan(new(any))
	case *sql.DB:
		return r.Ping()
	}
	if result.Kind() != reflect.Func || result.Type().NumIn() != 1 {
		return nil
	}
	yield := result.Type().In(0) // of an iterator
	result.Call([]reflect.Value{reflect.Zero(yield)})
	var last error
	result.Call([]reflect.Value{reflect.MakeFunc(yield, func(args []reflect.Value) []reflect.Value {
		last, _ = args[len(args)-1].Interface().(error)
		return []reflect.Value{reflect.ValueOf(true)}
	})})
	return last
}

// methods calls all methods of a value with nothing, but for those that may be called so.
func methods(t *testing.T, of any, given []any, fine ...string) {
	t.Helper()
	v := reflect.ValueOf(of)
	for i := range v.NumMethod() {
		name := v.Type().Method(i).Name
		var err error
		require.NotPanics(t, func() { err = call(v.Method(i), given...) }, name)
		if slices.Contains(fine, name) {
			continue
		}
		require.ErrorIs(t, err, fs.ErrInvalid, name)
		require.Regexp(t, `(nil|not made by)`, err.Error(), name)
	}
}

func TestNoMethodPanicsOverNil(t *testing.T) {
	ctx := t.Context()
	ours := []any{ctx}
	silent := []string{"Reset", "Stats", "Name", "Activity", "Queries", "Reader", "Writer", "StoreReader", "StoreWriter", "TxFromContext", "Connector", "DB"}
	for _, p := range []*pool.Pool{nil, new(pool.Pool)} {
		methods(t, p, nil, silent...)
		methods(t, p, ours, silent...)
		require.Error(t, p.DB().Ping())
		_, err := p.Connector().Connect(ctx)
		require.ErrorIs(t, err, fs.ErrInvalid)
		require.NotNil(t, p.Connector().Driver())
		db := sql.OpenDB(p.Connector())
		require.ErrorIs(t, db.PingContext(ctx), fs.ErrInvalid)
		require.NoError(t, db.Close())
		for _, on := range []any{p.Reader(), p.Writer(), p.StoreReader(), p.StoreWriter()} {
			methods(t, on, append(ours, new(request.Request)))
		}
	}

	for _, s := range []*dqlite.Store{nil, new(dqlite.Store)} {
		methods(t, s, nil, silent...)
		methods(t, s, ours, silent...)
		require.Error(t, s.DB().Ping())
		for _, on := range []any{s.StoreReader(), s.StoreWriter()} {
			methods(t, on, nil, "PrepareContext")
			methods(t, on, ours, "PrepareContext")
		}
		require.ErrorIs(t, repo.New(s).InTx(ctx, pool.Deferred, func(context.Context, *repo.Tx) error { return nil }), fs.ErrInvalid)
	}

	p := pooltest.New(t, pooltest.Migrations(schema.FS, migrate.Table(schema.VersionTable)))
	require.NoError(t, p.Close(), "it has nothing to be given")
	p = pooltest.New(t, pooltest.Migrations(schema.FS, migrate.Table(schema.VersionTable)))
	for name, fn := range map[string]any{
		"Acquire": p.Acquire, "Backup": p.Backup, "Batch": p.Batch, "Begin": p.Begin, "Changes": p.Changes, "Connect": p.Connector().Connect,
		"HealthCheck": p.HealthCheck, "InTx": p.InTx, "Shutdown": p.Shutdown, "StoreBatch": p.StoreBatch, "StoreInTx": p.StoreInTx,
		"StoreView": p.StoreView, "StoreWatch": p.StoreWatch, "View": p.View, "Watch": p.Watch,
	} {
		v := reflect.ValueOf(fn)
		require.ErrorIs(t, call(v), fs.ErrInvalid, name)
		require.ErrorContains(t, call(v), "ctx is nil", name)
		if n := v.Type().NumIn() - 1; v.Type().In(n).Kind() == reflect.Func || v.Type().IsVariadic() {
			require.ErrorContains(t, call(v, ctx), "fn is nil", name)
		}
	}
	require.ErrorContains(t, p.InTx(ctx, pool.Deferred, func(context.Context, *pool.Tx) error { return nil }, pool.Repeatable(), nil), "opts[1] is nil")
	for _, on := range []any{p.Reader(), p.Writer()} {
		methods(t, on, nil, "PrepareContext")
	}
	methods(t, (*pool.Registry)(nil), ours, "Pools")
	_, err := new(pool.Registry).Open(nobody, pool.Config{Path: pool.Memory})
	require.ErrorIs(t, err, fs.ErrInvalid)

	l, err := p.Acquire(ctx)
	require.NoError(t, err)
	methods(t, l, nil, "Release")
	l.Release()
	l, err = p.Acquire(ctx)
	require.NoError(t, err)
	require.ErrorContains(t, l.Raw(ctx, nil), "fn is nil")
	l.Release()

	for _, end := range []func(tx *pool.Tx) error{
		func(tx *pool.Tx) error { return tx.Commit(nobody) },
		func(tx *pool.Tx) error { tx.AfterCommit(nil); return tx.Savepoint(ctx, nil) },
		func(tx *pool.Tx) error { return call(reflect.ValueOf(tx.QueryRow)) },
		func(tx *pool.Tx) error { return call(reflect.ValueOf(tx.QueryContext)) },
		func(tx *pool.Tx) error { return call(reflect.ValueOf(tx.PrepareContext)) },
	} {
		tx, err := p.Begin(ctx, pool.Immediate)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, "DELETE FROM tabs")
		require.NoError(t, err)
		require.ErrorIs(t, end(tx), fs.ErrInvalid)
		require.NoError(t, tx.Rollback(nobody))
	}

	for _, r := range []*repo.Repo{repo.New(nil), repo.New((*pool.Pool)(nil))} {
		methods(t, r, ours)
		_, err = r.CountFiles(ctx, "/")
		require.ErrorContains(t, err, "the *Pool is nil")
	}
	r := repo.New(p)
	methods(t, r, nil)
	for name, fn := range map[string]any{"InTx": r.InTx, "Batch": r.Batch, "View": r.View} {
		require.ErrorContains(t, call(reflect.ValueOf(fn), ctx), "fn is nil", name)
	}
	require.ErrorIs(t, r.InTx(ctx, pool.Immediate, func(_ context.Context, tx *repo.Tx) error {
		methods(t, tx, nil, "AfterCommit")
		return tx.Savepoint(ctx, nil)
	}), fs.ErrInvalid)

	m, err := migrate.New(schema.FS)
	require.NoError(t, err)
	methods(t, m, []any{p})
	methods(t, m, ours)
	methods(t, m, []any{ctx, noDatabase{}})
	methods(t, m, []any{ctx, (*pool.Pool)(nil)})
	methods(t, new(migrate.Migrator), []any{ctx, p})
	methods(t, (*migrate.Migrator)(nil), []any{ctx, p})
	for name, fn := range map[string]any{"Up": schema.Up, "Down": schema.Down, "Version": schema.Version, "Validate": schema.Validate} {
		require.ErrorIs(t, call(reflect.ValueOf(fn), ctx), fs.ErrInvalid, name)
		require.ErrorIs(t, call(reflect.ValueOf(fn), p.DB()), fs.ErrInvalid, name)
	}
}

// mute is a Tracer that returns nothing.
type mute struct{}

func (mute) Start(context.Context, pool.TraceOp) (ctx context.Context, end func(pool.TraceEnd)) {
	return nil, nil
}

func TestNothingThatIsHandedOverPanicsOverNil(t *testing.T) {
	ctx := t.Context()
	p := pooltest.New(t, pooltest.Config(func(c *pool.Config) { c.Tracer = mute{} }))
	require.NoError(t, p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		return tx.QueryRow(ctx, "SELECT ?", nil).Scan(new(any))
	}))
	methods(t, p.Reader(), nil, "PrepareContext")
	l, err := p.Acquire(ctx)
	require.NoError(t, err)
	defer l.Release()
	for _, on := range []pool.Querier{p.Reader(), p.Writer(), l} {
		for _, dest := range []any{nil, (*int)(nil), (**int)(nil), (*sql.NullInt64)(nil)} {
			require.Error(t, on.QueryRow(ctx, "SELECT 1").Scan(dest))
			rows, err := on.Query(ctx, "SELECT 1")
			require.NoError(t, err)
			require.True(t, rows.Next())
			require.Error(t, rows.Scan(dest))
			require.NoError(t, rows.Close())
		}
	}
}

// noDatabase has none.
type noDatabase struct{ migrate.Database }

func (noDatabase) DB() *sql.DB { return nil }

// fatal stands in for a test, and keeps how that has failed.
type fatal struct {
	testing.TB
	said string
}

func (f *fatal) Helper() {}

func (f *fatal) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// fails is how a test fails.
func fails(t *testing.T, test func(t testing.TB)) error {
	f := &fatal{TB: t}
	over := make(chan struct{})
	go func() {
		defer close(over)
		test(f)
	}()
	<-over
	if f.said == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", fs.ErrInvalid, f.said)
}

func TestNoFunctionPanicsOverNil(t *testing.T) {
	ctx := t.Context()
	p := pooltest.New(t)
	db := native.On(p.StoreReader())
	one := func() *native.Call { return db.Call("One", "SELECT 1 AS one").One(ctx, 1) }
	rows := func() *native.Call { return db.Call("Rows", "SELECT 1") }
	none := func(any) error { return nil }
	// says is what the error says; "" if there is none.
	all := map[string]struct {
		says string
		call func() error
	}{
		"pool.Code":         {"", func() error { pool.Code(nil); return nil }},
		"pool.IsBusy":       {"", func() error { return none(pool.IsBusy(nil)) }},
		"pool.IsCorrupt":    {"", func() error { return none(pool.IsCorrupt(nil)) }},
		"pool.IsFull":       {"", func() error { return none(pool.IsFull(nil)) }},
		"pool.IsRepeatable": {"", func() error { return none(pool.IsRepeatable(nil)) }},
		"pool.Open":         {"ctx is nil", func() error { _, err := pool.Open(nobody, pool.Config{Path: pool.Memory}); return err }},
		"pool.ParseConfig":  {"", func() error { _, _ = pool.ParseConfig(""); return nil }},
		"pool.ParseLevel":   {"", func() error { _, _ = pool.ParseLevel(""); return nil }},
		"pool.Repeatable":   {"", func() error { return none(pool.Repeatable()) }},
		"pool.WithLabel":    {"", func() error { return pool.WithLabel(nobody, "ours").Err() }},

		"dberr.Kind": {"", func() error { return dberr.Kind(nil) }},
		"dberr.Wrap": {"", func() error { return dberr.Wrap("", nil) }},

		"dqlite.Open": {"ctx is nil", func() error {
			_, err := dqlite.Open(nobody, dqlite.Config{Members: []string{"127.0.0.1:1"}, Plaintext: true})
			return err
		}},

		"migrate.New":          {"opts[1] is nil", func() error { _, err := migrate.New(schema.FS, migrate.Table("t"), nil); return err }},
		"migrate.Backup":       {"path is empty", func() error { _, err := migrate.New(schema.FS, migrate.Backup("")); return invalid(err) }},
		"migrate.GoMigrations": {"is nil", func() error { _, err := migrate.New(nil, migrate.GoMigrations(nil)); return invalid(err) }},
		"migrate.Table":        {"name", func() error { _, err := migrate.New(schema.FS, migrate.Table("")); return invalid(err) }},

		"repo.New":        {"the *Pool is nil", func() error { _, err := repo.New(nil).ListTabs(ctx); return err }},
		"repo.Statements": {"", func() error { return none(repo.Statements()) }},
		"repo.Watch": {"fetch is nil", func() error {
			require.ErrorContains(t, failure(reflect.ValueOf(repo.Watch[int](ctx, nil, func(context.Context, repo.Reader) (int, error) { return 0, nil }))), "r is nil")
			return failure(reflect.ValueOf(repo.Watch[int](ctx, repo.New(p), nil)))
		}},

		"pooltest.New":        {"opts[0] is nil", func() error { return fails(t, func(t testing.TB) { pooltest.New(t, nil) }) }},
		"pooltest.Config":     {"Config's function is nil", func() error { return fails(t, func(t testing.TB) { pooltest.New(t, pooltest.Config(nil)) }) }},
		"pooltest.Fail":       {"the pool is nil", func() error { return fails(t, func(t testing.TB) { pooltest.Fail(t, nil, pooltest.DiskFull) }) }},
		"pooltest.File":       {"", func() error { return none(pooltest.File()) }},
		"pooltest.Heal":       {"the pool is nil", func() error { return fails(t, func(t testing.TB) { pooltest.Heal(t, nil) }) }},
		"pooltest.IOError":    {"", func() error { return none(pooltest.IOError(0)) }},
		"pooltest.Locked":     {"", func() error { return none(pooltest.Locked(0)) }},
		"pooltest.Migrations": {"the files are nil", func() error { return fails(t, func(t testing.TB) { pooltest.New(t, pooltest.Migrations(nil)) }) }},
		"pooltest.Plans":      {"the pool is nil", func() error { return fails(t, func(t testing.TB) { pooltest.Plans(t, nil, repo.Statements()) }) }},
		"pooltest.Waive":      {"", func() error { return none(pooltest.Waive("", "")) }}, // Plans refuses it

		"native.Nil":      {"x is nil", func() error { return native.Nil("x") }},
		"native.On":       {"the DBTX is nil", func() error { return native.On(nil).Call("One", "SELECT 1").One(ctx, 1).End() }},
		"native.WithText": {"the DBTX is nil", func() error { return native.WithText(nil, "SELECT 1").QueryRowContext(ctx, "").Err() }},
		"native.Numbered": {"", func() error { return none(native.Numbered(nil, nil)) }},
		"native.Spread":   {"", func() error { return none(native.Spread(nil)) }},
		"native.All":      {"read is nil", func() error { _, err := native.All[int](ctx, rows(), 1, nil, nil); return err }},
		"native.AllPointers": {"read is nil", func() error {
			_, err := native.AllPointers[int](ctx, rows(), 1, nil, nil)
			return err
		}},
		"native.Seq": {"read is nil", func() error {
			require.ErrorContains(t, failure(reflect.ValueOf(native.Seq[int](ctx, nil, 1, native.Int[int]))), "call is nil")
			return failure(reflect.ValueOf(native.Seq[int](ctx, rows, 1, nil)))
		}},
		"native.SeqPointers": {"read is nil", func() error { return failure(reflect.ValueOf(native.SeqPointers[int](ctx, rows, 1, nil))) }},
		"native.Any":         {"dest is nil", func() error { c := one(); native.Any[int](c, nil); return c.End() }},
		"native.Blob":        {"dest is nil", func() error { c := one(); native.Blob[[]byte](c, nil); return c.End() }},
		"native.Bool":        {"dest is nil", func() error { c := one(); native.Bool(c, nil); return c.End() }},
		"native.Float":       {"dest is nil", func() error { c := one(); native.Float[float64](c, nil); return c.End() }},
		"native.Int":         {"dest is nil", func() error { c := one(); native.Int[int](c, nil); return c.End() }},
		"native.OrNil":       {"dest or read is nil", func() error { c := one(); native.OrNil[int](nil)(c, new(*int)); return c.End() }},
		"native.Pointer":     {"dest or read is nil", func() error { c := one(); native.Pointer(c, nil, native.Int[int]); return c.End() }},
		"native.Scanner":     {"scan is nil", func() error { c := one(); native.Scanner[sql.NullInt64](c, nil); return c.End() }},
		"native.Text":        {"dest is nil", func() error { c := one(); native.Text[string](c, nil); return c.End() }},
		"native.Moment":      {"dest is nil", func() error { c := one(); native.Moment(c, nil); return c.End() }},
		"native.Time":        {"dest is nil", func() error { c := one(); native.Time(c, (*time.Time)(nil)); return c.End() }},
	}
	for name, test := range all {
		var err error
		require.NotPanics(t, func() { err = test.call() }, name)
		if test.says == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, fs.ErrInvalid, name)
		require.ErrorContains(t, err, test.says, name)
	}
	for _, dir := range []string{"pool", "native", "repo", "migrate", "pooltest", "dberr", "dqlite"} {
		for _, name := range functions(t, dir) {
			require.Contains(t, all, dir+"."+name, "it belongs into the table")
		}
	}

	for name, run := range map[string]func(c *native.Call) error{
		"Exec":       func(c *native.Call) error { return c.Exec(nobody) },
		"ExecRows":   func(c *native.Call) error { _, err := c.ExecRows(nobody); return err },
		"ExecLastID": func(c *native.Call) error { _, err := c.ExecLastID(nobody); return err },
		"ExecResult": func(c *native.Call) error { _, err := c.ExecResult(nobody); return err },
		"One":        func(c *native.Call) error { return c.One(nobody, 1).End() },
		"All":        func(c *native.Call) error { _, err := native.All(nobody, c, 1, nil, native.Int[int]); return err },
		"Valuer":     func(c *native.Call) error { return c.Valuer(nil).Exec(ctx) },
		"Scan":       func(c *native.Call) error { c.One(ctx, 1).Scan(nil); return c.End() },
	} {
		for _, db := range []native.DB{db, native.On(p.DB()), native.On(nil)} {
			require.ErrorIs(t, run(db.Call("Query", "SELECT 1")), fs.ErrInvalid, name)
		}
	}
	require.NoError(t, one().Blob(nil).Any(nil).End())
	_, err := native.On(nil).PrepareContext(ctx, "")
	require.ErrorIs(t, err, fs.ErrInvalid)
	_, err = native.On(nil).QueryContext(ctx, "")
	require.ErrorIs(t, err, fs.ErrInvalid)
	_, err = native.On(nil).ExecContext(ctx, "")
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.ErrorIs(t, fails(t, func(t testing.TB) { pooltest.New(t, pooltest.Migrations(fstest.MapFS{}, nil)) }), fs.ErrInvalid)
}

// invalid makes an error one that was refused, whatever it is.
func invalid(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", fs.ErrInvalid, err)
}

// functions are the exported ones of a package.
func functions(t *testing.T, dir string) (names []string) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.IsExported() {
				names = append(names, fn.Name.Name)
			}
		}
	}
	require.NotEmpty(t, names)
	return names
}
