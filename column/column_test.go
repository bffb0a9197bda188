package column_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/sqlane/sqlane/repo"
	"github.com/sqlane/sqlane/schema"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ driver.Valuer = column.Time{}
	_ sql.Scanner   = (*column.Time)(nil)
)

func open(t *testing.T) *pool.Pool {
	t.Helper()
	return pooltest.New(t)
}

func lease(t *testing.T) *pool.Lease {
	t.Helper()
	l, err := open(t).Acquire(t.Context())
	require.NoError(t, err)
	t.Cleanup(l.Release)
	return l
}

var (
	zone   = time.FixedZone("somewhere", 2*60*60)
	moment = time.Date(2026, 1, 2, 3, 4, 5, 6, zone)
	first  = time.Unix(0, math.MinInt64) // what an INTEGER can hold
	last   = time.Unix(0, math.MaxInt64)
)

func TestAtGivesUTCWithoutAMonotonicReading(t *testing.T) {
	now := time.Now()
	at := column.At(now)
	require.True(t, at.Equal(now))
	require.Equal(t, time.UTC, at.Location())
	require.Contains(t, now.String(), " m=")
	require.NotContains(t, at.String(), " m=")
	require.Equal(t, "2026-01-02 01:04:05.000000006 +0000 UTC", column.At(moment).String())
	require.Equal(t, at, column.At(at.Time), "twice is the same as once")
}

func TestTheZeroTimeIsNULLAndNULLIsTheZeroTime(t *testing.T) {
	for _, zero := range []column.Time{{}, column.At(time.Time{}), {time.Time{}.In(zone)}, column.At(time.Time{}.In(zone))} {
		value, err := zero.Value()
		require.NoError(t, err)
		require.Nil(t, value)
	}
	require.Equal(t, column.Time{}, column.At(time.Time{}.In(zone)))
	scanned := column.At(moment)
	require.NoError(t, scanned.Scan(nil))
	require.Equal(t, column.Time{}, scanned)
	require.True(t, scanned.IsZero())
}

func TestTheMomentAtNanosecondZeroIsNotTheZeroTime(t *testing.T) {
	epoch := column.At(time.Unix(0, 0))
	require.False(t, epoch.IsZero())
	value, err := epoch.Value()
	require.NoError(t, err)
	require.Equal(t, int64(0), value)
	var scanned column.Time
	require.NoError(t, scanned.Scan(int64(0)))
	require.Equal(t, epoch, scanned)
}

func TestATimeIsNanosecondsWhateverItsZone(t *testing.T) {
	for _, at := range []column.Time{column.At(moment), {moment}, {moment.UTC()}} {
		value, err := at.Value()
		require.NoError(t, err)
		require.Equal(t, moment.UnixNano(), value)
		require.True(t, driver.IsValue(value))
	}
}

func TestScanTakesNothingButAnIntegerOrNULL(t *testing.T) {
	before := column.At(moment)
	for _, src := range []any{"2026-01-02", []byte("1"), 1.5, true, moment, int(1), uint64(1), column.At(moment)} {
		at := before
		err := at.Scan(src)
		require.EqualError(t, err, fmt.Sprintf("column: %T is no time; nanoseconds since 1970 are, as an INTEGER", src))
		require.Equal(t, before, at, "it stays as it was")
	}
}

func TestATimeComesBackFromADatabaseAsItWas(t *testing.T) {
	l := lease(t)
	_, err := l.ExecContext(t.Context(), "CREATE TABLE times (id INTEGER PRIMARY KEY, at INTEGER) STRICT")
	require.NoError(t, err)
	all := []column.Time{
		{},
		column.At(first), column.At(time.Date(1678, 1, 1, 0, 0, 0, 0, time.UTC)), column.At(time.Unix(0, -1)), column.At(time.Unix(0, 0)),
		column.At(moment), column.At(moment.Add(1)), column.At(time.Date(2261, 12, 31, 23, 59, 59, 999_999_999, time.UTC)), column.At(last),
	}
	for i := range all { // backwards: the order must be the database's work
		_, err := l.ExecContext(t.Context(), "INSERT INTO times (at) VALUES (?)", all[len(all)-1-i])
		require.NoError(t, err)
	}
	rows, err := l.QueryContext(t.Context(), "SELECT at, typeof(at) FROM times ORDER BY at")
	require.NoError(t, err)
	defer rows.Close()
	var got []column.Time
	for rows.Next() {
		var at column.Time
		var stored string
		require.NoError(t, rows.Scan(&at, &stored))
		require.Equal(t, at.IsZero(), stored == "null")
		require.Equal(t, !at.IsZero(), stored == "integer")
		got = append(got, at)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, all, got)
}

func TestADatabasesOtherTypesAreNoTime(t *testing.T) {
	l := lease(t)
	for literal, kind := range map[string]string{"'2026-01-02'": "string", "1.5": "float64", "x'01'": "[]uint8"} {
		var at column.Time
		err := l.QueryRowContext(t.Context(), "SELECT "+literal).Scan(&at)
		require.ErrorContains(t, err, kind+" is no time")
		require.True(t, at.IsZero())
	}
}

func TestAPointerToNoTimeIsNULL(t *testing.T) {
	l := lease(t)
	var none *column.Time
	var isNull bool
	require.NoError(t, l.QueryRowContext(t.Context(), "SELECT ? IS NULL", none).Scan(&isNull))
	require.True(t, isNull)
	at := new(column.At(moment))
	require.NoError(t, l.QueryRowContext(t.Context(), "SELECT ?", at).Scan(&none))
	require.Equal(t, at, none)
	require.NoError(t, l.QueryRowContext(t.Context(), "SELECT NULL").Scan(&none))
	require.Nil(t, none)
}

func TestATimeIsWrittenAsTextAndJSONLikeAnyTime(t *testing.T) {
	at := column.At(moment)
	text, err := json.Marshal(map[string]column.Time{"at": at, "zero": {}})
	require.NoError(t, err)
	require.JSONEq(t, `{"at": "2026-01-02T01:04:05.000000006Z", "zero": "0001-01-01T00:00:00Z"}`, string(text))
	var back map[string]column.Time
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, at, back["at"])
	require.True(t, back["zero"].IsZero())
	value, err := back["zero"].Value()
	require.NoError(t, err)
	require.Nil(t, value)

	var parsed column.Time
	require.NoError(t, json.Unmarshal([]byte(`"2026-01-02T03:04:05.000000006+02:00"`), &parsed))
	require.Equal(t, at, column.At(parsed.Time))
	require.Error(t, json.Unmarshal([]byte(`"yesterday"`), &parsed))
	require.Error(t, json.Unmarshal([]byte(`1767315845000000006`), &parsed))
	require.Equal(t, at.Time.String(), fmt.Sprint(at))
}

// enumeration is how a value of a type gets into the database and back.
type enumeration struct {
	column string // of the schema
	store  func(ctx context.Context, q gen.Querier, value string) (string, error)
}

func storeFile(ctx context.Context, q gen.Querier, provider column.CloudProvider, status column.CloudStatus) (gen.File, error) {
	dir, err := q.UpsertDirectory(ctx, gen.UpsertDirectoryParams{Path: "/a"})
	if err != nil {
		return gen.File{}, err
	}
	size := new(int64(1))
	if status == column.CloudOnly {
		size = nil
	}
	at := column.At(moment)
	return q.UpsertFile(ctx, gen.UpsertFileParams{
		DirectoryID: dir.ID, Path: "/a/b", Name: "b", NameLower: "b", Size: size,
		DateCreated: at, DateModified: at, CloudProvider: provider, CloudStatus: status, IndexedAt: at,
	})
}

var enumerations = map[string]enumeration{
	"Category": {"category", func(ctx context.Context, q gen.Querier, value string) (string, error) {
		kind, err := q.UpsertFileType(ctx, gen.UpsertFileTypeParams{Extension: "x", TypeName: "X", Category: column.Category(value)})
		return string(kind.Category), err
	}},
	"PermissionState": {"permission_state", func(ctx context.Context, q gen.Querier, value string) (string, error) {
		dir, err := q.UpsertDirectory(ctx, gen.UpsertDirectoryParams{Path: "/a"})
		if err != nil {
			return "", err
		}
		arg := gen.SetDirectoryPermissionParams{ID: dir.ID, PermissionState: column.PermissionState(value)}
		if _, err := q.SetDirectoryPermission(ctx, arg); err != nil {
			return "", err
		}
		dir, err = q.GetDirectory(ctx, dir.ID)
		return string(dir.PermissionState), err
	}},
	"CloudProvider": {"cloud_provider", func(ctx context.Context, q gen.Querier, value string) (string, error) {
		file, err := storeFile(ctx, q, column.CloudProvider(value), column.Local)
		return string(file.CloudProvider), err
	}},
	"CloudStatus": {"cloud_status", func(ctx context.Context, q gen.Querier, value string) (string, error) {
		file, err := storeFile(ctx, q, column.NoCloud, column.CloudStatus(value))
		return string(file.CloudStatus), err
	}},
	"Operation": {"operation", func(ctx context.Context, q gen.Querier, value string) (string, error) {
		run, err := q.AppendLog(ctx, gen.AppendLogParams{Timestamp: column.At(moment), Operation: column.Operation(value), Path: "/a"})
		return string(run.Operation), err
	}},
}

// source returns the package's types, with the values of their constants, and
// what it imports.
func source(t *testing.T) (types map[string][]string, imports []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "column.go", nil, 0)
	require.NoError(t, err)
	types = map[string][]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			imports = append(imports, n.Path.Value)
		case *ast.TypeSpec:
			types[n.Name.Name] = nil
		case *ast.ValueSpec:
			name := n.Type.(*ast.Ident).Name
			value, err := strconv.Unquote(n.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			types[name] = append(types[name], value)
		}
		return true
	})
	return types, imports
}

func TestTheConstantsOfEachEnumerationAreWhatTheSchemaAllows(t *testing.T) {
	text := ""
	files, err := fs.Glob(schema.FS, "*.sql")
	require.NoError(t, err)
	for _, name := range files {
		part, err := schema.FS.ReadFile(name)
		require.NoError(t, err)
		text += string(part)
	}
	types, _ := source(t)
	delete(types, "Time")
	require.ElementsMatch(t, slices.Collect(maps.Keys(enumerations)), slices.Collect(maps.Keys(types)), "every type is tested")
	for name, e := range enumerations {
		check := regexp.MustCompile(`CHECK \(`+e.column+` IN \(([^)]*)\)`).FindAllStringSubmatch(text, -1)
		require.Len(t, check, 1, name)
		allowed := strings.Split(strings.ReplaceAll(check[0][1], "'", ""), ", ")
		require.ElementsMatch(t, allowed, types[name], name)
	}
}

func TestAnEnumerationComesBackFromADatabaseAsItWasAndNothingElseGetsIn(t *testing.T) {
	p := open(t)
	require.NoError(t, schema.Up(t.Context(), p.DB()))
	q := repo.New(p)
	types, _ := source(t)
	for name, e := range enumerations {
		require.NotEmpty(t, types[name])
		for _, value := range types[name] {
			got, err := e.store(t.Context(), q, value)
			require.NoError(t, err, "%s %q", name, value)
			require.Equal(t, value, got, name)
		}
		for _, wrong := range []string{"", "nonsense", strings.ToUpper(types[name][0]), types[name][0] + " "} {
			_, err := e.store(t.Context(), q, wrong)
			require.ErrorIs(t, err, repo.ErrCheck, "%s %q", name, wrong)
		}
	}
}

func TestAnEnumerationIsItsTextInJSONToo(t *testing.T) {
	all := []any{column.Document, column.PermissionGranted, column.GoogleDrive, column.CloudOnly, column.Cancelled}
	text, err := json.Marshal(all)
	require.NoError(t, err)
	require.JSONEq(t, `["document", "granted", "google-drive", "cloud-only", "cancelled"]`, string(text))
	require.Equal(t, "[document granted google-drive cloud-only cancelled]", fmt.Sprint(all))
}

func TestThePackageImportsTheStandardLibraryAlone(t *testing.T) {
	_, imports := source(t)
	require.NotEmpty(t, imports)
	for _, path := range imports {
		require.NotContains(t, path, ".", "generated code imports this package")
	}
}

func TestATimeThatDoesNotFitIsRefused(t *testing.T) {
	for _, year := range []int{1600, 3000} {
		_, err := column.Time{Time: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)}.Value()
		require.ErrorContains(t, err, "does not fit")
	}
}
