package schema_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/sqlane/sqlane/schema"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// spy is SQLite on one file, with a look at every statement before and after it.
type spy struct {
	base   driver.Driver
	path   string
	before func(statement string) error // an error is the statement's result
	after  func(err error)
}

func (s *spy) Connect(context.Context) (driver.Conn, error) {
	c, err := s.base.Open("file:" + s.path + "?_pragma=synchronous(off)")
	if err != nil {
		if s.after != nil {
			s.after(err) // the pragma reads the file
		}
		return nil, err
	}
	return spiedConn{c.(sqliteConn), s}, nil
}

func (s *spy) Driver() driver.Driver { return s.base }

// look runs a statement between the looks.
func (s *spy) look(statement string, run func() error) (err error) {
	if s.before != nil {
		err = s.before(statement)
	}
	if err == nil {
		err = run()
	}
	if s.after != nil {
		s.after(err)
	}
	return err
}

type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
}

type spiedConn struct {
	sqliteConn
	spy *spy
}

func (c spiedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	err = c.spy.look(query, func() error {
		result, err = c.sqliteConn.ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

func (c spiedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = c.spy.look(query, func() error {
		rows, err = c.sqliteConn.QueryContext(ctx, query, args)
		return err
	})
	return rows, err
}

func (c spiedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (tx driver.Tx, err error) {
	err = c.spy.look("BEGIN", func() error {
		tx, err = c.sqliteConn.BeginTx(ctx, opts)
		return err
	})
	return spiedTx{tx, c.spy}, err
}

type spiedTx struct {
	driver.Tx
	spy *spy
}

func (t spiedTx) Commit() error {
	committed := false
	err := t.spy.look("COMMIT", func() error {
		committed = true
		return t.Tx.Commit()
	})
	if !committed {
		return errors.Join(err, t.Tx.Rollback())
	}
	return err
}

// baseDriver is modernc's.
func baseDriver(t *testing.T) driver.Driver {
	t.Helper()
	db, err := sql.Open("sqlite", "")
	require.NoError(t, err)
	defer db.Close()
	return db.Driver()
}

// spied opens a file under a spy, to be changed before the first statement.
func spied(t *testing.T, path string) (*sql.DB, *spy) {
	t.Helper()
	s := &spy{base: baseDriver(t), path: path}
	db := sql.OpenDB(s)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, s
}

// templates are the bytes of a database at versions 0, 1 and 2, all with goose's
// table, and what they say of themselves.
func templates(t *testing.T) (images [3][]byte, says [3][]string) {
	t.Helper()
	makeTemplates.Do(func() {
		db, path := openFile(t)
		require.NoError(t, schema.Up(t.Context(), db))
		for version := 2; ; version-- {
			template.images[version] = content(t, path)
			_, template.says[version] = everything(t, path)
			if version == 0 {
				return
			}
			require.NoError(t, schema.Down(t.Context(), db))
		}
	})
	require.NotEmpty(t, template.says[0])
	for version, image := range template.images {
		images[version] = slices.Clone(image)
	}
	return images, template.says
}

var (
	makeTemplates sync.Once
	template      struct {
		images [3][]byte
		says   [3][]string
	}
)

// image is one of the templates.
func image(t *testing.T, version int) []byte {
	t.Helper()
	images, _ := templates(t)
	return images[version]
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	image, err := os.ReadFile(path)
	require.NoError(t, err)
	return image
}

// fileOf is a new file with these bytes.
func fileOf(t *testing.T, image []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.db")
	require.NoError(t, os.WriteFile(path, image, 0o600))
	return path
}

// holdLock takes a lock that is held until release, which may be called often.
func holdLock(t *testing.T, path, begin string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	exec1(t, db, begin)
	release = sync.OnceFunc(func() {
		_, err := db.Exec("ROLLBACK")
		assert.NoError(t, err)
		assert.NoError(t, db.Close())
	})
	t.Cleanup(release)
	return release
}

// requireWhole looks whether the database is wholly at the version that it says,
// with each migration applied once, as the templates are. It returns the version.
func requireWhole(t *testing.T, path string, note ...any) int64 {
	t.Helper()
	version, found := everything(t, path)
	_, says := templates(t)
	require.Equal(t, says[version], found, note...)
	return version
}

// everything is what a file says of itself: its version, the versions applied and
// the text of all that is in it.
func everything(t *testing.T, path string) (version int64, all []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	require.NoError(t, err)
	defer db.Close()
	version, err = schema.Version(t.Context(), db)
	require.NoError(t, err)
	rows, err := db.Query(`SELECT * FROM (SELECT name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY name)
		UNION ALL SELECT * FROM (SELECT version_id || ' is applied' FROM schema_version ORDER BY version_id)`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		all = append(all, strings.Join(strings.Fields(text), " "))
	}
	require.NoError(t, rows.Err())
	return version, all
}

type step struct {
	name string
	run  func(context.Context, *sql.DB) error
}

var (
	up   = step{"Up", schema.Up}
	down = step{"Down", schema.Down}
)

func TestAnotherProgramMayMigrateBetweenAnyTwoStatements(t *testing.T) {
	t.Parallel() // for it waits
	images, _ := templates(t)
	stride := rounds.Of(3, 1, 1) // from another point each time
	for i, c := range []struct {
		start       int
		mine, other step
	}{
		{0, up, up},
		{0, down, up},
		{1, up, up},
		{0, up, down},
		{1, up, down},
		{1, down, up},
		{1, down, down},
		{2, down, down},
		{2, down, up},
		{2, up, down},
	} {
		t.Run(fmt.Sprintf("%s at version %d while the other does %s", c.mine.name, c.start, c.other.name), func(t *testing.T) {
			t.Parallel()
			point, met := i%stride, 0
			for reached := true; reached; point += stride {
				path := fileOf(t, images[c.start])
				db, s := spied(t, path)
				other, _ := spied(t, path)
				seen := 0
				reached = false
				s.before = func(statement string) error {
					if _, err := other.Exec("BEGIN EXCLUSIVE; ROLLBACK"); err != nil {
						return nil // no other program gets a word in here
					}
					if seen++; seen == point+1 {
						reached = true
						met++
						assert.NoError(t, ignoreNone(c.other.run(t.Context(), other)), "other, before %s", statement)
					}
					return nil
				}
				require.NoError(t, ignoreNone(c.mine.run(t.Context(), db)), "point %d", point)
				requireWhole(t, path, "point %d", point)
			}
			require.GreaterOrEqual(t, met, rounds.Of(1, 2, 2))
		})
	}
}

// ignoreNone is for a Down that comes when another one has taken the last.
func ignoreNone(err error) error {
	if errors.Is(err, schema.ErrNoMigration) {
		return nil
	}
	return err
}

func TestAStepThatFailsAnywhereLeavesAWholeVersion(t *testing.T) {
	t.Parallel() // for it waits
	images, _ := templates(t)
	broken := errors.New("the disk is broken")
	for _, c := range []struct {
		start int
		step
		end    int64
		stride int // not all points, where there are many
	}{{0, up, 2, 4}, {1, up, 2, rounds.Of(2, 1, 1)}, {2, down, 1, rounds.Of(2, 1, 1)}} {
		for name, fault := range map[string]func(cancel func()) (error, error){
			"a failed statement": func(func()) (error, error) { return broken, broken },
			"an ended context":   func(cancel func()) (error, error) { cancel(); return nil, context.Canceled },
		} {
			t.Run(fmt.Sprintf("%s at version %d, %s", c.name, c.start, name), func(t *testing.T) {
				tries, failures, versions := 0, 0, map[int64]bool{}
				for point, reached := 0, true; reached; point += c.stride {
					tries++
					path := fileOf(t, images[c.start])
					db, s := spied(t, path)
					ctx, cancel := context.WithCancel(t.Context())
					seen := 0
					reached = false
					var want error
					s.before = func(string) (err error) {
						if seen++; seen == point+1 {
							reached = true
							err, want = fault(cancel)
						}
						return err
					}
					err := c.run(ctx, db)
					cancel()
					version := requireWhole(t, path, "point %d", point)
					versions[version] = true
					if err == nil { // what failed was tried again, or the end came too late
						require.Equal(t, c.end, version, "point %d", point)
					} else {
						require.ErrorIs(t, err, want, "point %d", point)
						failures++
					}
				}
				require.Greater(t, tries, rounds.Of(4, 8, 8))
				require.Greater(t, failures, tries/2)
				require.Contains(t, versions, int64(c.start), "undone, when it failed early")
				require.Greater(t, len(versions), 1, "done, when it did not fail")
			})
		}
	}
}

func TestAMigrationThatAnotherProgramRecordsFirstIsNotApplied(t *testing.T) {
	path := fileOf(t, image(t, 1))
	db, s := spied(t, path)
	other, _ := spied(t, path)
	once := sync.OnceFunc(func() {
		exec1(t, other, "INSERT INTO schema_version (version_id, is_applied) VALUES (2, 1)")
	})
	s.before = func(statement string) error {
		if statement == "BEGIN" { // from then on no other program gets a word in
			once()
		}
		return nil
	}
	require.NoError(t, schema.Up(t.Context(), db), "what another program did is done")
	var rows, columns int
	require.NoError(t, db.QueryRow("SELECT count(*), (SELECT count(*) FROM pragma_table_xinfo('files') WHERE name = 'folder_size') FROM schema_version WHERE version_id = 2").Scan(&rows, &columns))
	require.Equal(t, 1, rows)
	require.Zero(t, columns, "this program does nothing")
}

func TestALockIsWaitedForUntilItGoes(t *testing.T) {
	images, _ := templates(t)
	for _, begin := range []string{"BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"} {
		for _, step := range []step{up, down} {
			t.Run(step.name+" under "+begin, func(t *testing.T) {
				path := fileOf(t, images[1])
				release := holdLock(t, path, begin)
				db, s := spied(t, path)
				refused := 0
				s.after = func(err error) {
					if isBusy(err) {
						if refused++; refused == 3 {
							release()
						}
					}
				}
				require.NoError(t, step.run(t.Context(), db))
				require.Equal(t, 3, refused)
				v, err := schema.Version(t.Context(), db)
				require.NoError(t, err)
				require.Equal(t, map[string]int64{"Up": 2, "Down": 0}[step.name], v)
				requireWhole(t, path)
			})
		}
	}
}

// isBusy reports SQLITE_BUSY.
func isBusy(err error) bool {
	var e interface{ Code() int }
	return errors.As(err, &e) && e.Code()&0xff == 5
}

func TestALockThatNeverGoesIsAnErrorAndTheFileIsUntouched(t *testing.T) {
	t.Parallel() // for it waits
	// What cannot be asked how long it waits is waited for for seconds.
	for _, pragma := range []string{"busy_timeout(50)", "synchronous(off)"}[:rounds.Of(1, 2, 2)] {
		t.Run(pragma, func(t *testing.T) {
			before := image(t, 1)
			path := fileOf(t, before)
			release := holdLock(t, path, "BEGIN EXCLUSIVE")
			db, err := sql.Open("sqlite", "file:"+path+"?_pragma="+pragma)
			require.NoError(t, err)
			defer db.Close()
			err = schema.Up(t.Context(), db)
			require.True(t, isBusy(err), "%v", err)
			require.ErrorContains(t, err, "database is locked")
			_, err = schema.Version(t.Context(), db)
			require.True(t, isBusy(err), "%v", err)
			err = schema.Validate(t.Context(), db)
			require.True(t, isBusy(err), "%v", err)
			release()
			require.Equal(t, before, content(t, path))
		})
	}
}

func TestThroughAPoolALockIsWaitedForOnceAndIsErrBusy(t *testing.T) {
	t.Parallel() // for it waits
	images, _ := templates(t)
	for _, begin := range []string{"BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"} {
		for _, mode := range []string{"wal", "delete"} {
			for _, step := range []step{up, down} {
				t.Run(step.name+" under "+begin+" in "+mode, func(t *testing.T) {
					t.Parallel()
					path := fileOf(t, images[1])
					busy := new(busyCounter)
					p, err := pool.Open(t.Context(), pool.Config{Path: path, JournalMode: pool.JournalMode(mode), BusyTimeout: 20 * time.Millisecond, Synchronous: "off", Tracer: busy})
					require.NoError(t, err)
					opened, err := p.DB().Conn(t.Context()) // for to open one waits for a second at least
					require.NoError(t, err)
					require.NoError(t, opened.Close())
					release := holdLock(t, path, begin)
					err = step.run(t.Context(), p.DB())
					require.ErrorIs(t, err, pool.ErrBusy)
					require.ErrorContains(t, err, "migrate: ")
					require.EqualValues(t, 1, busy.n.Load())
					release()
					require.NoError(t, step.run(t.Context(), p.DB()), "nothing else stands in the way")
					require.NoError(t, p.Close())
					requireWhole(t, path)
				})
			}
		}
	}
}

// busyCounter is a Tracer that counts the transactions, or else queries, that
// ended with ErrBusy.
type busyCounter struct{ n atomic.Int64 }

func (b *busyCounter) Start(ctx context.Context, op pool.TraceOp) (context.Context, func(pool.TraceEnd)) {
	return ctx, func(end pool.TraceEnd) {
		if op.Name != "acquire" && errors.Is(end.Err, pool.ErrBusy) {
			b.n.Add(1)
		}
	}
}

func TestAContextThatEndsEndsTheWaitForALock(t *testing.T) {
	before := image(t, 1)
	path := fileOf(t, before)
	release := holdLock(t, path, "BEGIN IMMEDIATE")
	for _, step := range []step{up, down} {
		ctx, cancel := context.WithCancel(t.Context())
		db, s := spied(t, path)
		refused, more := 0, 0
		s.before = func(string) error {
			if ctx.Err() != nil {
				more++
			}
			return nil
		}
		s.after = func(err error) {
			if isBusy(err) {
				if refused++; refused == 3 {
					cancel()
				}
			}
		}
		require.Error(t, step.run(ctx, db))
		require.Equal(t, 3, refused)
		require.Zero(t, more, "nothing is tried once the context is over")
	}
	release()
	require.Equal(t, before, content(t, path))
}

// steps are all that schema does with a database.
var steps = map[string]func(context.Context, *sql.DB) error{
	"Up":       schema.Up,
	"Down":     schema.Down,
	"Validate": schema.Validate,
	"Version":  version,
}

func version(ctx context.Context, db *sql.DB) error {
	_, err := schema.Version(ctx, db)
	return err
}

func TestAContextThatIsOverOrADatabaseThatIsClosedIsAnErrorAtOnce(t *testing.T) {
	before := image(t, 1)
	path := fileOf(t, before)
	db, s := spied(t, path)
	s.before = func(statement string) error {
		assert.Fail(t, "nothing may run", statement)
		return nil
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	for name, run := range steps {
		require.ErrorIs(t, run(over, db), context.Canceled, name)
		require.ErrorIs(t, run(late, db), context.DeadlineExceeded, name)
	}
	require.NoError(t, db.Close())
	for name, run := range steps {
		require.ErrorContains(t, run(t.Context(), db), "database is closed", name)
	}
	require.Equal(t, before, content(t, path))
}

func TestAFileThatIsNoDatabaseOrADamagedOneIsAnErrorAndUntouched(t *testing.T) {
	damaged := image(t, 2)
	for i := 100; i < 400; i++ {
		damaged[i] = 0xaa
	}
	for name, c := range map[string]struct {
		image []byte
		want  string
	}{
		"text":      {[]byte(strings.Repeat("This is no database. ", 400)), "file is not a database"},
		"damaged":   {damaged, "malformed"},
		"truncated": {image(t, 2)[:6000], "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			path := fileOf(t, c.image)
			db, _ := spied(t, path)
			for what, run := range steps {
				err := run(t.Context(), db)
				assert.ErrorContains(t, err, "migrate: ", what)
				assert.ErrorContains(t, err, c.want, what)
				assert.NotErrorIs(t, err, schema.ErrDrift, what)
			}
			require.NoError(t, db.Close())
			require.Equal(t, c.image, content(t, path))
		})
	}
}

func TestAReadOnlyDatabaseIsReadButNotMigrated(t *testing.T) {
	images, _ := templates(t)
	readOnly := func(t *testing.T, image []byte) (*sql.DB, string) {
		t.Helper()
		path := fileOf(t, image)
		db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		return db, path
	}
	t.Run("at the newest version", func(t *testing.T) {
		db, path := readOnly(t, images[2])
		require.NoError(t, schema.Up(t.Context(), db), "there is nothing to do")
		require.NoError(t, schema.Validate(t.Context(), db))
		require.ErrorContains(t, schema.Down(t.Context(), db), "readonly database")
		require.Equal(t, images[2], content(t, path))
	})
	t.Run("at an older version", func(t *testing.T) {
		db, path := readOnly(t, images[1])
		require.ErrorContains(t, schema.Up(t.Context(), db), "readonly database")
		v, err := schema.Version(t.Context(), db)
		require.NoError(t, err)
		require.EqualValues(t, 1, v)
		require.ErrorIs(t, schema.Validate(t.Context(), db), schema.ErrDrift)
		require.Equal(t, images[1], content(t, path))
	})
	t.Run("through a pool", func(t *testing.T) {
		path := fileOf(t, images[1])
		p, err := pool.Open(t.Context(), pool.Config{Path: path, ReadOnly: true})
		require.NoError(t, err)
		require.ErrorIs(t, schema.Up(t.Context(), p.DB()), pool.ErrReadOnly)
		require.ErrorIs(t, schema.Down(t.Context(), p.DB()), pool.ErrReadOnly)
		require.ErrorIs(t, schema.Validate(t.Context(), p.DB()), schema.ErrDrift)
		v, err := schema.Version(t.Context(), p.DB())
		require.NoError(t, err)
		require.EqualValues(t, 1, v)
		require.NoError(t, p.Close())
		require.Equal(t, images[1], content(t, path))
	})
}

func TestAVersionTableThatIsNotGoosesIsAnErrorAndUntouched(t *testing.T) {
	for name, c := range map[string]struct {
		make []string
		want string
	}{
		"Flyway's": {
			[]string{"CREATE TABLE schema_version (installed_rank INT PRIMARY KEY, version TEXT, success BOOL)", "INSERT INTO schema_version VALUES (1, '1.0', 1)"},
			"no such column: version_id",
		},
		"versions in words": {
			[]string{"CREATE TABLE schema_version (id INTEGER PRIMARY KEY, version_id TEXT, is_applied INT, tstamp TEXT)", "INSERT INTO schema_version VALUES (1, 'first', 1, 'now')"},
			"converting driver.Value type string",
		},
	} {
		t.Run(name, func(t *testing.T) {
			db, path := openFile(t)
			for _, statement := range c.make {
				exec1(t, db, statement)
			}
			before := content(t, path)
			for _, step := range []step{up, down, {"Version", version}} {
				require.ErrorContains(t, step.run(t.Context(), db), c.want, step.name)
			}
			require.ErrorIs(t, schema.Validate(t.Context(), db), schema.ErrDrift)
			require.Equal(t, before, content(t, path))
		})
	}
}

func TestAMigrationThatWasLeftOutIsAnErrorAndNotMadeUpFor(t *testing.T) {
	db, path := openFile(t)
	require.NoError(t, schema.Up(t.Context(), db))
	exec1(t, db, "DELETE FROM schema_version WHERE version_id = 1")
	before := content(t, path)
	require.ErrorContains(t, schema.Up(t.Context(), db), "detected 1 missing (out-of-order) migration")
	require.Equal(t, before, content(t, path))
}

func TestAProgramWhoseMigrationsBearNoNumberChangesNothing(t *testing.T) {
	right := schema.FS
	t.Cleanup(func() { schema.FS = right })
	db, path := openFile(t)
	require.NoError(t, schema.Up(t.Context(), db))
	before := content(t, path)
	schema.FS = unnumbered // no other test runs meanwhile: those in parallel come last
	for _, step := range []step{up, down, {"Validate", schema.Validate}} {
		require.ErrorContains(t, step.run(t.Context(), db), "migrate: ", step.name)
	}
	require.Equal(t, before, content(t, path))
}

//go:embed schema.go
var unnumbered embed.FS

func TestANewerDatabaseIsLeftAloneWhoeverOpensIt(t *testing.T) {
	db, path := openFile(t)
	require.NoError(t, schema.Up(t.Context(), db))
	exec1(t, db, "INSERT INTO schema_version (version_id, is_applied) VALUES (3, 1)")
	exec1(t, db, "DROP VIEW folder_totals")
	require.NoError(t, db.Close())
	before := content(t, path)
	for name, open := range map[string]func(t *testing.T) (*sql.DB, func() error){
		"a file": func(t *testing.T) (*sql.DB, func() error) {
			db, _ := spied(t, path)
			return db, db.Close
		},
		"a pool": func(t *testing.T) (*sql.DB, func() error) {
			p, err := pool.Open(t.Context(), pool.Config{Path: path, JournalMode: "delete"})
			require.NoError(t, err)
			return p.DB(), p.Close
		},
	} {
		t.Run(name, func(t *testing.T) {
			db, closeAll := open(t)
			for _, step := range []step{up, down} {
				err := step.run(t.Context(), db)
				require.ErrorIs(t, err, schema.ErrNewer)
				require.EqualError(t, err, "migrate: the database is newer than this program: it is at version 3, the program at 2; use a newer program")
			}
			v, err := schema.Version(t.Context(), db)
			require.NoError(t, err)
			require.EqualValues(t, 3, v)
			require.ErrorIs(t, schema.Validate(t.Context(), db), schema.ErrDrift)
			require.NoError(t, closeAll())
			require.Equal(t, before, content(t, path))
		})
	}
}

func TestThroughAPoolTheVersionGoesUpAndDownToNone(t *testing.T) {
	for name, opts := range map[string][]pooltest.Option{"memory": nil, "file": {pooltest.File()}} {
		t.Run(name, func(t *testing.T) {
			db := pooltest.New(t, opts...).DB()
			require.ErrorIs(t, schema.Down(t.Context(), db), schema.ErrNoMigration)
			err := schema.Validate(t.Context(), db)
			require.ErrorIs(t, err, schema.ErrDrift)
			require.ErrorContains(t, err, "table files is missing")
			require.NoError(t, schema.Up(t.Context(), db))
			require.NoError(t, schema.Validate(t.Context(), db))
			require.NoError(t, schema.Down(t.Context(), db))
			err = schema.Validate(t.Context(), db)
			require.ErrorIs(t, err, schema.ErrDrift, "an older version differs")
			require.ErrorContains(t, err, "column files.folder_size is missing")
			require.NoError(t, schema.Up(t.Context(), db))
			require.NoError(t, schema.Validate(t.Context(), db), "what came back is what was taken")
			require.NoError(t, schema.Down(t.Context(), db))
			require.NoError(t, schema.Down(t.Context(), db))
			require.ErrorIs(t, schema.Down(t.Context(), db), schema.ErrNoMigration)
			v, err := schema.Version(t.Context(), db)
			require.NoError(t, err)
			require.Zero(t, v)
			require.NoError(t, db.PingContext(t.Context()), "the caller's database stays open")
		})
	}
}

func TestManyMayMigrateAtOnceWhileOthersLook(t *testing.T) {
	_, path := openFile(t)
	var wg sync.WaitGroup
	for i := range 3 {
		p := pooltest.New(t, pooltest.Config(func(c *pool.Config) { c.Path = path }))
		for range 2 { // two on one *sql.DB, which are one program
			wg.Go(func() { assert.NoError(t, schema.Up(t.Context(), p.DB()), "pool %d", i) })
		}
		wg.Go(func() {
			v, err := schema.Version(t.Context(), p.DB())
			assert.NoError(t, err)
			assert.Contains(t, []int64{0, 1, 2}, v)
			if err := schema.Validate(t.Context(), p.DB()); err != nil {
				assert.ErrorIs(t, err, schema.ErrDrift)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 2, requireWhole(t, path))
}

func TestDriftOfEveryKindIsListedAtOnceAndNothingElse(t *testing.T) {
	db, _ := openFile(t)
	require.NoError(t, schema.Up(t.Context(), db))
	db.SetMaxOpenConns(1) // writable_schema belongs to a connection
	for _, change := range []string{
		"DROP TABLE indexing_log",
		"CREATE TABLE mine (id INTEGER PRIMARY KEY, note TEXT UNIQUE)",
		"CREATE INDEX mine_by_note ON mine (note DESC)",
		"CREATE TRIGGER mine_trigger AFTER INSERT ON tabs BEGIN DELETE FROM mine; END",
		"CREATE VIEW mine_view AS SELECT 1 AS one",
		"DROP VIEW tab_places",
		"DROP VIEW folder_totals",
		"CREATE VIEW folder_totals AS SELECT 'x' AS path, 1 AS size",
		"DROP INDEX files_by_name",
		"DROP INDEX files_by_folder_size",
		"CREATE INDEX files_by_folder_size ON files (folder_size)",
		"ALTER TABLE permission_bookmarks RENAME COLUMN bookmark TO mark",
		"ALTER TABLE tabs ADD COLUMN above INTEGER REFERENCES tabs (id)",
		"PRAGMA writable_schema = ON",
		// A column's type, NOT NULL and default, a foreign key's actions, and one
		// that is gone.
		"UPDATE sqlite_schema SET sql = replace(sql, 'type_name TEXT NOT NULL', 'type_name BLOB') WHERE name = 'file_types'",
		"UPDATE sqlite_schema SET sql = replace(replace(sql, 'included         INTEGER NOT NULL DEFAULT 1', 'included INTEGER NOT NULL DEFAULT 0'), 'ON DELETE CASCADE', 'ON UPDATE CASCADE') WHERE name = 'directories'",
		"UPDATE sqlite_schema SET sql = replace(sql, '    CONSTRAINT files_file_type FOREIGN KEY (file_type_id) REFERENCES file_types (id) ON DELETE SET NULL,\n', '') WHERE name = 'files'",
		"PRAGMA writable_schema = RESET",
	} {
		exec1(t, db, change)
	}
	err := schema.Validate(t.Context(), db)
	require.ErrorIs(t, err, schema.ErrDrift)
	require.Equal(t, []string{
		"column directories.included is \"INTEGER NOT NULL DEFAULT 0\", not \"INTEGER NOT NULL DEFAULT 1\"",
		"column file_types.type_name is \"BLOB\", not \"TEXT NOT NULL\"",
		"column indexing_log.duration is missing",
		"column indexing_log.file_count is missing",
		"column indexing_log.id is missing",
		"column indexing_log.operation is missing",
		"column indexing_log.path is missing",
		"column indexing_log.timestamp is missing",
		"column permission_bookmarks.bookmark is missing",
		"foreign key directories.parent_id is \"directories(id) ON DELETE NO ACTION ON UPDATE CASCADE\", not \"directories(id) ON DELETE CASCADE ON UPDATE NO ACTION\"",
		"foreign key files.file_type_id is missing",
		"index files_by_folder_size is \"CREATE",
		"index files_by_name is missing",
		"index indexing_log_by_operation is missing",
		"index indexing_log_by_time is missing",
		"table directories is \"CREATE",
		"table file_types is \"CREATE",
		"table files is \"CREATE",
		"table indexing_log is missing",
		"table permission_bookmarks is \"CREATE",
		"table tabs is \"CREATE",
		"view folder_totals is \"CREATE",
		"view tab_places is missing",
		"column mine.id is not the migrations'",
		"column mine.note is not the migrations'",
		"column permission_bookmarks.mark is not the migrations'",
		"column tabs.above is not the migrations'",
		"foreign key tabs.above is not the migrations'",
		"index mine_by_note is not the migrations'",
		"index sqlite_autoindex_mine_1 is not the migrations'",
		"table mine is not the migrations'",
		"trigger mine_trigger is not the migrations'",
		"view mine_view is not the migrations'",
	}, differences(t, err))
}

// differences are the lines of a drift, without the text of a CREATE.
func differences(t *testing.T, err error) []string {
	t.Helper()
	require.ErrorIs(t, err, schema.ErrDrift)
	text, found := strings.CutPrefix(err.Error(), "migrate: "+schema.ErrDrift.Error()+": ")
	require.True(t, found)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if head, _, cut := strings.Cut(line, " is \"CREATE "); cut {
			lines[i] = head + " is \"CREATE"
		}
	}
	return lines
}

func TestDriftThatNoColumnShowsIsListedToo(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"a type that is not enforced": {"\n) STRICT", "\n)", "table tabs"},
		"a check that is gone":        {"CHECK (position >= 0)", "CHECK (1)", "table tabs"},
		"an order":                    {"tabs (position, id)", "tabs (position DESC, id)", "index tabs_by_position"},
		"a view's text":               {"- 1 AS place", "AS place", "view tab_places"},
	} {
		t.Run(name, func(t *testing.T) {
			db, _ := openFile(t)
			require.NoError(t, schema.Up(t.Context(), db))
			db.SetMaxOpenConns(1)
			exec1(t, db, "PRAGMA writable_schema = ON")
			exec1(t, db, "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE tbl_name IN ('tabs', 'tab_places')", c.old, c.new)
			exec1(t, db, "PRAGMA writable_schema = RESET")
			require.Equal(t, []string{c.want + " is \"CREATE"}, differences(t, schema.Validate(t.Context(), db)))
		})
	}
}

func TestASchemaThatDiffersInSpacesAloneIsNoDrift(t *testing.T) {
	db, _ := openFile(t)
	require.NoError(t, schema.Up(t.Context(), db))
	db.SetMaxOpenConns(1)
	exec1(t, db, "PRAGMA writable_schema = ON")
	exec1(t, db, "UPDATE sqlite_schema SET sql = replace(sql, ' ', '\t\n ')")
	exec1(t, db, "PRAGMA writable_schema = RESET")
	require.NoError(t, schema.Validate(t.Context(), db))
}

func TestWhatCannotBeReadIsAnErrorAndNoDrift(t *testing.T) {
	path := fileOf(t, image(t, 2))
	broken := errors.New("the disk is broken")
	for point := range 4 {
		db, s := spied(t, path)
		seen := 0
		s.before = func(string) error {
			if seen++; seen == point+1 {
				return broken
			}
			return nil
		}
		err := schema.Validate(t.Context(), db)
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, "migrate: validate: ")
		require.NotErrorIs(t, err, schema.ErrDrift)
	}

	db, s := spied(t, path)
	s.base = refusing{s.base, broken}
	err := schema.Validate(t.Context(), db)
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "migrate: making a reference: ")
	require.NotErrorIs(t, err, schema.ErrDrift)

	db, _ = spied(t, path)
	db.SetMaxOpenConns(1)
	exec1(t, db, "PRAGMA writable_schema = ON")
	exec1(t, db, "UPDATE sqlite_schema SET type = NULL WHERE name = 'tab_places'")
	err = schema.Validate(t.Context(), db)
	require.ErrorContains(t, err, "migrate: validate: ")
	require.ErrorContains(t, err, "converting NULL to string")
	require.NotErrorIs(t, err, schema.ErrDrift)
}

// refusing is a driver that opens files alone.
type refusing struct {
	driver.Driver
	err error
}

func (r refusing) Open(name string) (driver.Conn, error) {
	if name == ":memory:" {
		return nil, r.err
	}
	return r.Driver.Open(name)
}
