package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// service is what a program's health endpoint and its end ask for.
type service interface {
	HealthCheck(ctx context.Context) error
	Shutdown(ctx context.Context) error
}

var (
	_ service = (*pool.Pool)(nil)
	_ service = (*pool.Registry)(nil)
)

// newRegistry is a registry whose pools are closed at the end.
func newRegistry(t *testing.T) *pool.Registry {
	r := new(pool.Registry)
	t.Cleanup(func() {
		for _, p := range r.Pools() {
			assert.NoError(t, p.Close())
		}
		assert.NoError(t, r.Shutdown(context.Background()))
	})
	return r
}

func registryOpen(t *testing.T, r *pool.Registry, path string) *pool.Pool {
	t.Helper()
	p, err := r.Open(t.Context(), pool.Config{Path: path, Synchronous: "off"})
	require.NoError(t, err)
	return p
}

func TestAFileHasOnePoolByWhateverName(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	require.NoError(t, os.MkdirAll("data/sub", 0o700))
	require.NoError(t, os.Symlink("data", "linked"))
	require.NoError(t, os.Symlink(filepath.Join(dir, "linked", "sub"), "twice"))
	names := map[string]func(t *testing.T) string{
		"relative":                    func(*testing.T) string { return "data/app.db" },
		"relative with dots":          func(*testing.T) string { return "./data/sub/.././/app.db" },
		"absolute":                    func(*testing.T) string { return filepath.Join(dir, "data/app.db") },
		"in a linked directory":       func(*testing.T) string { return "linked/app.db" },
		"above a linked directory":    func(*testing.T) string { return dir + "/linked/sub/../app.db" },
		"absolute, linked directory":  func(*testing.T) string { return filepath.Join(dir, "linked", "app.db") },
		"symbolic link":               func(t *testing.T) string { return registryLink(t, os.Symlink, "data/app.db", "soft.db") },
		"symbolic link to one":        func(t *testing.T) string { return registryLink(t, os.Symlink, "soft.db", "softer.db") },
		"hard link":                   func(t *testing.T) string { return registryLink(t, os.Link, "data/app.db", "hard.db") },
		"symbolic link to a hard one": func(t *testing.T) string { return registryLink(t, os.Symlink, "../hard.db", "data/soft.db") },
	}
	order := []string{
		"relative", "relative with dots", "absolute", "in a linked directory", "above a linked directory", "absolute, linked directory",
		"symbolic link", "symbolic link to one", "hard link", "symbolic link to a hard one",
	}
	r := newRegistry(t)
	p := registryOpen(t, r, "linked/app.db")
	run(t, p, tables)
	for _, name := range order {
		require.Same(t, p, registryOpen(t, r, names[name](t)), name)
	}
	require.Equal(t, []*pool.Pool{p}, r.Pools())
	require.NotSame(t, p, registryOpen(t, r, "data/sub/app.db"), "the same name elsewhere is another file")

	require.NoError(t, p.Close())
	again := registryOpen(t, r, "soft.db")
	require.EqualValues(t, 1, get(t, again, "SELECT count(*) FROM n"))
	for _, name := range order[:6] {
		require.Same(t, again, registryOpen(t, r, names[name](t)), "opened by a link: "+name)
	}
}

func registryLink(t *testing.T, link func(from, to string) error, from, to string) string {
	t.Helper()
	require.NoError(t, link(from, to))
	return to
}

func TestAPoolOpenedByALinkLivesOnWhenTheLinkGoes(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, writeFile(filepath.Join(dir, "app.db"), ""))
	link := filepath.Join(dir, "link.db")
	require.NoError(t, os.Symlink("app.db", link))
	r := newRegistry(t)
	p := registryOpen(t, r, link)
	require.NoError(t, os.Remove(link))
	run(t, p, tables)
	require.NoError(t, r.HealthCheck(t.Context()))
	require.Same(t, p, registryOpen(t, r, filepath.Join(dir, "app.db")))
}

func TestConcurrentOpensOfAMissingFileGiveOnePool(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
	require.NoError(t, os.Symlink("data", filepath.Join(dir, "linked")))
	r := newRegistry(t)
	pools := make([]*pool.Pool, 20)
	var wg sync.WaitGroup
	for i := range pools {
		wg.Go(func() {
			path := filepath.Join(dir, []string{"data", "linked"}[i%2], "app.db")
			p, err := r.Open(t.Context(), pool.Config{Path: path})
			if assert.NoError(t, err) {
				assert.NoError(t, p.HealthCheck(t.Context()))
			}
			pools[i] = p
			assert.NoError(t, r.HealthCheck(t.Context()), "while others open")
		})
	}
	wg.Wait()
	for _, p := range pools {
		require.Same(t, pools[0], p)
	}
	require.Len(t, r.Pools(), 1)
}

func TestAnOpenThatFailedDoesNotStandInTheWay(t *testing.T) {
	r := newRegistry(t)
	path := filepath.Join(t.TempDir(), "app.db")
	for _, cfg := range []pool.Config{
		{},
		{Path: path, MaxConns: -1},
		{Path: path, Synchronous: "maybe"},
	} {
		_, err := r.Open(t.Context(), cfg)
		require.ErrorIs(t, err, pool.ErrConfig)
	}
	var e *pool.Error
	_, err := r.Open(t.Context(), pool.Config{Path: filepath.Join(path, "no", "such.db")})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorAs(t, err, &e)
	require.Equal(t, "open", e.Op)
	_, err = r.Open(t.Context(), pool.Config{Path: path, ReadOnly: true})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = r.Open(t.Context(), pool.Config{Path: path, OnConnect: func(context.Context, *pool.Lease) error { return errOurs }})
	require.ErrorIs(t, err, errOurs)
	require.Empty(t, r.Pools())

	p := registryOpen(t, r, path)
	run(t, p, tables)
	require.Equal(t, []*pool.Pool{p}, r.Pools())
}

func TestEachDatabaseInMemoryIsOneOfItsOwn(t *testing.T) {
	r := newRegistry(t)
	one, two := registryOpen(t, r, pool.Memory), registryOpen(t, r, pool.Memory)
	require.NotSame(t, one, two)
	run(t, one, "CREATE TABLE mine (x)")
	require.Zero(t, get(t, two, "SELECT count(*) FROM sqlite_schema"))
	t.Chdir(t.TempDir())
	file := registryOpen(t, r, "./:memory:")
	require.Same(t, file, registryOpen(t, r, filepath.Join(".", "x", "..", ":memory:")+"/../:memory:"))
	require.FileExists(t, ":memory:")
	require.Equal(t, []*pool.Pool{one, two, file}, r.Pools(), "in the order of their opening")
}

func TestTheConfigurationOfTheFirstOpenCountsAndReadOnlyMustAgree(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		t.Run(fmt.Sprint(readOnly), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			require.NoError(t, writeFile(path, ""))
			r := newRegistry(t)
			// A rollback journal: in WAL mode a read-only pool needs the log to be there.
			cfg := pool.Config{Path: path, ReadOnly: readOnly, MaxConns: 2, JournalMode: "delete"}
			p, err := r.Open(t.Context(), cfg)
			require.NoError(t, err)

			cfg.MaxConns, cfg.Synchronous = 7, "off"
			same, err := r.Open(t.Context(), cfg)
			require.NoError(t, err)
			require.Same(t, p, same)
			require.Equal(t, 2, p.Stats().MaxConns)

			cfg.ReadOnly = !readOnly
			_, err = r.Open(t.Context(), cfg)
			require.ErrorIs(t, err, pool.ErrConfig)
			require.ErrorContains(t, err, "ReadOnly")
			require.ErrorContains(t, err, path)
			require.Equal(t, []*pool.Pool{p}, r.Pools(), "the pool goes on")
			require.NoError(t, p.HealthCheck(t.Context()))

			require.NoError(t, p.Close())
			fresh, err := r.Open(t.Context(), cfg)
			require.NoError(t, err, "once it is closed")
			require.NotSame(t, p, fresh)
		})
	}
}

func TestAClosedPoolIsReplacedByAFreshOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	ends := map[string]func(p *pool.Pool) error{
		"close":    func(p *pool.Pool) error { return p.Close() },
		"shutdown": func(p *pool.Pool) error { return p.Shutdown(t.Context()) },
	}
	r := newRegistry(t)
	p := registryOpen(t, r, path)
	run(t, p, tables)
	for name, end := range ends {
		require.NoError(t, end(p), name)
		require.Empty(t, r.Pools(), name)
		require.NoError(t, r.HealthCheck(t.Context()), "a closed pool is no failure")
		fresh := registryOpen(t, r, path)
		require.NotSame(t, p, fresh, name)
		require.EqualValues(t, 1, get(t, fresh, "SELECT count(*) FROM n"))
		require.Equal(t, []*pool.Pool{fresh}, r.Pools())
		p = fresh
	}
}

func TestARegistriesHealthIsThatOfAllItsPools(t *testing.T) {
	dir := t.TempDir()
	r := newRegistry(t)
	require.NoError(t, r.HealthCheck(t.Context()), "nothing is healthy")
	require.Empty(t, r.Pools())
	for _, name := range []string{"a.db", "b.db", "c.db"} {
		p, err := r.Open(t.Context(), pool.Config{Path: filepath.Join(dir, name), Synchronous: "off", Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		run(t, p, tables)
	}
	registryOpen(t, r, pool.Memory)
	require.NoError(t, r.HealthCheck(t.Context()))
	for _, p := range r.Pools() {
		require.EqualValues(t, 1, p.Stats().HealthChecks)
	}

	away := t.TempDir()
	for _, name := range []string{"a.db", "c.db"} {
		require.NoError(t, os.Rename(filepath.Join(dir, name), filepath.Join(away, name)))
	}
	err := r.HealthCheck(t.Context())
	require.ErrorIs(t, err, pool.ErrMoved)
	require.ErrorContains(t, err, filepath.Join(dir, "a.db"))
	require.ErrorContains(t, err, filepath.Join(dir, "c.db"))
	require.NotContains(t, err.Error(), filepath.Join(dir, "b.db"))

	for _, name := range []string{"a.db", "c.db"} {
		require.NoError(t, os.Rename(filepath.Join(away, name), filepath.Join(dir, name)))
	}
	require.NoError(t, r.HealthCheck(t.Context()))

	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.HealthCheck(over), context.Canceled)
}

func TestARegistriesShutdownIsThatOfAllItsPools(t *testing.T) {
	dir := t.TempDir()
	var r pool.Registry
	require.NoError(t, r.Shutdown(t.Context()), "of nothing")
	var pools []*pool.Pool
	for _, name := range []string{"a.db", "b.db", "c.db"} {
		pools = append(pools, registryOpen(t, &r, filepath.Join(dir, name)))
	}
	pools = append(pools, registryOpen(t, &r, pool.Memory))
	a, err := pools[0].Acquire(t.Context())
	require.NoError(t, err)
	c, err := pools[2].Acquire(t.Context())
	require.NoError(t, err)

	patience, giveUp := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- r.Shutdown(patience) }()
	for _, p := range pools { // all at the same time, though the first one is not done
		waitFor(t, "it refuses work", func() bool {
			return errors.Is(p.HealthCheck(t.Context()), pool.ErrClosed)
		})
	}
	giveUp()
	err = <-result
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, filepath.Join(dir, "a.db"))
	require.ErrorContains(t, err, filepath.Join(dir, "c.db"))
	require.NotContains(t, err.Error(), filepath.Join(dir, "b.db"))
	a.Release()
	c.Release()

	require.Empty(t, r.Pools())
	require.NoError(t, r.Shutdown(t.Context()), "again")
	require.Len(t, names(t, dir), 3, "nothing lies beside the databases")

	later := registryOpen(t, &r, filepath.Join(dir, "a.db"))
	require.NoError(t, later.HealthCheck(t.Context()), "a registry lives on")
	require.NoError(t, r.Shutdown(t.Context()))
	requireClosed(t, later)
}

func TestARegistryShutDownWhileOthersUseItLosesNothing(t *testing.T) {
	dir := t.TempDir()
	var r pool.Registry
	stop := make(chan struct{})
	var users sync.WaitGroup
	var committed [4]int64
	for i := range committed {
		users.Go(func() {
			path := filepath.Join(dir, fmt.Sprint(i, ".db"))
			for {
				select {
				case <-stop:
					return
				default:
				}
				p, err := r.Open(context.Background(), pool.Config{Path: path, Synchronous: "off", AcquireTimeout: time.Minute})
				if errors.Is(err, pool.ErrClosed) {
					continue // it is still shutting down
				}
				if !assert.NoError(t, err) {
					return
				}
				err = p.InTx(context.Background(), pool.Immediate, doing("CREATE TABLE IF NOT EXISTS x (y); INSERT INTO x VALUES (1)"))
				if err == nil {
					committed[i]++
				} else if !assert.ErrorIs(t, err, pool.ErrClosed) {
					return
				}
			}
		})
	}
	for range 10 {
		waitFor(t, "somebody opens", func() bool { return len(r.Pools()) > 0 })
		assert.NoError(t, r.Shutdown(t.Context()))
	}
	close(stop)
	users.Wait()
	require.NoError(t, r.Shutdown(t.Context()))
	for i, n := range committed {
		p := registryOpen(t, &r, filepath.Join(dir, fmt.Sprint(i, ".db")))
		if n > 0 {
			require.EqualValues(t, n, get(t, p, "SELECT count(*) FROM x"))
		}
	}
	require.NoError(t, r.Shutdown(t.Context()))
}

func ExampleRegistry() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "registry")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	var databases pool.Registry
	users, err := databases.Open(ctx, pool.Config{Path: filepath.Join(dir, "users.db")})
	if err != nil {
		fmt.Println(err)
		return
	}
	same, err := databases.Open(ctx, pool.Config{Path: filepath.Join(dir, ".", "users.db")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("one pool:", users == same)
	fmt.Println("healthy:", databases.HealthCheck(ctx) == nil)
	fmt.Println("shut down:", databases.Shutdown(ctx) == nil)
	// Output:
	// one pool: true
	// healthy: true
	// shut down: true
}
