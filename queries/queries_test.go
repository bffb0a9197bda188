package queries_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/internal/sqlstore"
	"github.com/sqlane/sqlane/internal/trial"
	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/sqlane/sqlane/repo"
	"github.com/sqlane/sqlane/schema"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openPool makes an empty index in memory.
func openPool(t *testing.T) *pool.Pool {
	t.Helper()
	return pooltest.New(t, pooltest.Migrations(schema.FS, migrate.Table(schema.VersionTable)))
}

// elsewhere has the tests of the queries run on a Store that is no pool.
const elsewhere = "SQLANE_TEST_ELSEWHERE"

func open(t *testing.T) gen.Querier {
	t.Helper()
	if os.Getenv(elsewhere) == "" {
		return repo.New(openPool(t))
	}
	if s := trial.Cluster(t); s != nil {
		require.NoError(t, schema.Up(t.Context(), s.DB()))
		return repo.New(s)
	}
	s, err := sqlstore.Open(filepath.Join(t.TempDir(), "index.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, schema.Up(t.Context(), s.DB()))
	return repo.New(s)
}

func TestAllOfThisHoldsOnAnotherStore(t *testing.T) {
	if os.Getenv(elsewhere) != "" {
		return // this is it
	}
	again := exec.CommandContext(t.Context(), os.Args[0], fmt.Sprintf("-test.short=%t", testing.Short()))
	again.Env = append(os.Environ(), elsewhere+"=1")
	out, err := again.CombinedOutput()
	require.NoError(t, err, string(out))
}

var day = column.At(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))

func later(d time.Duration) column.Time { return column.At(day.Add(d)) }

// tree is an index of a few directories, by path. A path that ends in a slash is
// a directory; the number is a file's size.
type tree map[string]int64

// plant makes the index and returns the ids of its directories by path.
func plant(t *testing.T, q gen.Querier, files tree) map[string]int64 {
	t.Helper()
	ctx := t.Context()
	ids := map[string]int64{}
	var directory func(path string) int64
	directory = func(path string) int64 {
		if id, ok := ids[path]; ok {
			return id
		}
		var parent *int64
		if up := filepath.Dir(path); up != path && up != "/" {
			id := directory(up)
			parent = &id
			_, err := q.UpsertFile(ctx, entry(id, path, true, 0))
			require.NoError(t, err)
		}
		d, err := q.UpsertDirectory(ctx, gen.UpsertDirectoryParams{Path: path, ParentID: parent})
		require.NoError(t, err)
		ids[path] = d.ID
		return d.ID
	}
	for path, size := range files {
		if dir, ok := strings.CutSuffix(path, "/"); ok {
			directory(dir)
			continue
		}
		_, err := q.UpsertFile(ctx, entry(directory(filepath.Dir(path)), path, false, size))
		require.NoError(t, err)
	}
	return ids
}

func entry(directory int64, path string, isDirectory bool, size int64) gen.UpsertFileParams {
	name := filepath.Base(path)
	return gen.UpsertFileParams{
		DirectoryID: directory, Path: path, Name: name, NameLower: strings.ToLower(name),
		Extension: strings.TrimPrefix(strings.ToLower(filepath.Ext(name)), "."), IsDirectory: isDirectory, Size: &size,
		DateCreated: day, DateModified: later(time.Duration(size) * time.Hour),
		CloudProvider: column.NoCloud, CloudStatus: column.Local, IndexedAt: day,
	}
}

func paths(files []gen.File) []string {
	list := []string{}
	for _, f := range files {
		list = append(list, f.Path)
	}
	return list
}

func TestEveryQueryHasATestOfItsOwn(t *testing.T) {
	called := map[string]bool{}
	tests, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	for _, name := range tests {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		for _, d := range f.Decls {
			test, ok := d.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(test.Name.Name, "Test") {
				continue
			}
			ast.Inspect(test, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if method, ok := call.Fun.(*ast.SelectorExpr); ok && strings.Contains(test.Name.Name, method.Sel.Name) {
						called[method.Sel.Name] = true
					}
				}
				return true
			})
		}
	}
	querier := reflect.TypeFor[gen.Querier]()
	for m := range querier.Methods() {
		require.True(t, called[m.Name], "no test that is named for %s calls it", m.Name)
	}
}

func TestNoQueryScansATableOrSortsWithoutAReason(t *testing.T) {
	pooltest.Plans(t, openPool(t), repo.Statements(), pooltest.NoScan, pooltest.NoTempBTree,
		pooltest.Waive("ListAncestors", "sorts what lies above one directory, which is not many"),
		pooltest.Waive("ListFilesByCategory", "merges what the index has for each type of the category, and keeps no more than it is asked for"),
		pooltest.Waive("ListFilesByDate", "sorts those of one date by id, which are few"),
		pooltest.Waive("ListFilesBySize", "sorts those of one size by id, which are few"),
		pooltest.Waive("SummarizeDirectory", "sorts one row for each category"),
		pooltest.Waive("SearchFilesBySubstring", "LIKE with a leading wildcard: walks the index of names"),
		pooltest.Waive("SummarizeCategories", "sums up every file"),
		pooltest.Waive("ListFileTypes", "is asked for all of them"),
		pooltest.Waive("ListTabs", "is asked for all of them"),
		pooltest.Waive("ListBookmarks", "is asked for all of them"),
		pooltest.Waive("NewestFiles", "walks the index of dates from its end until it has enough"),
		pooltest.Waive("RecentLog", "walks the index of times from its end until it has enough"),
		pooltest.Waive("MoveTab", "puts all of them in their places, and they are few"),
		pooltest.Waive("SetFolderSizes", "sums up every directory"))
}

func TestSQLFilesAreASCII(t *testing.T) {
	for _, pattern := range []string{"*.sql", "goose/*.sql", "../schema/*.sql"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, name := range files {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			for i, c := range text {
				require.Less(t, c, byte(0x80), "%s, byte %d: sqlc would cut the SQL short", name, i)
			}
		}
	}
}

func TestGetSchemaVersionTellsTheNewestMigration(t *testing.T) {
	q := open(t)
	v, err := q.GetSchemaVersion(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, 2, v)
}
