package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/sqlane/sqlane/internal/scratch"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/sqlane/sqlane/repo"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

// asProgram makes the test binary fileindex itself, one that waits for locks for as
// long as it takes if it is "patient".
const asProgram = "SQLANE_TEST_FILEINDEX"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "patient" {
		os.Exit(runWith(context.Background(), os.Args[1:], os.Stdout, os.Stderr, pool.Config{MaxConns: 8, BusyTimeout: time.Hour, AcquireTimeout: -1}))
	}
	if os.Getenv(asProgram) != "" {
		main()
	}
	rounds.Together(8)
	scratch.InMemory()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(public.dir)
		os.Exit(code)
	}))
}

// public is a directory with a copy of the test binary that anybody may run, once a test
// has needed one.
var public struct {
	once sync.Once
	dir  string
	err  error
}

func publicBinary() (string, error) {
	public.once.Do(func() {
		public.err = func() error {
			binary, err := os.ReadFile(os.Args[0])
			if err != nil {
				return err
			}
			if public.dir, err = os.MkdirTemp("", "fileindex"); err != nil {
				return err
			}
			return errors.Join(os.Chmod(public.dir, 0o755), os.WriteFile(filepath.Join(public.dir, "fileindex"), binary, 0o755))
		}()
	})
	return filepath.Join(public.dir, "fileindex"), public.err
}

// bench is a database of the test's own to run commands on.
type bench struct {
	t  testing.TB
	db string
}

func newBench(t *testing.T) bench { return bench{t, filepath.Join(t.TempDir(), "index.db")} }

func (b bench) run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(b.t.Context(), append([]string{"-db", b.db}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func (b bench) ok(args ...string) string {
	b.t.Helper()
	code, stdout, stderr := b.run(args...)
	require.Zero(b.t, code, stderr)
	return stdout
}

// index returns the report of one tree.
func (b bench) index(dir string) report {
	b.t.Helper()
	var reports []report
	require.NoError(b.t, json.Unmarshal([]byte(b.ok("-json", "index", dir)), &reports))
	require.Len(b.t, reports, 1)
	reports[0].Duration = 0
	return reports[0]
}

// opened is the database, open for reading: a run of the program spends most of
// its time on the schema, and some tests ask often.
func (b bench) opened() *app {
	b.t.Helper()
	p, err := pool.Open(b.t.Context(), pool.Config{Path: b.db, ReadOnly: true, MaxConns: 2})
	require.NoError(b.t, err)
	b.t.Cleanup(func() { require.NoError(b.t, p.Close()) })
	return &app{store: p, repo: repo.New(p), json: true}
}

// entries are what a command prints.
func (a *app) entries(t testing.TB, command func(context.Context, *app) error, limit int64, args ...string) (list []fileJSON) {
	t.Helper()
	var out bytes.Buffer
	a.out, a.limit, a.args = &out, limit, args
	require.NoError(t, command(t.Context(), a))
	require.NoError(t, json.Unmarshal(out.Bytes(), &list))
	return list
}

// rows returns everything that is indexed below a directory, by path.
func (b bench) rows(dir string) map[string]fileJSON {
	b.t.Helper()
	a, all := b.opened(), map[string]fileJSON{}
	for dirs := []string{dir}; len(dirs) > 0; dirs = dirs[1:] {
		for _, f := range a.entries(b.t, list, 0, dirs[0]) {
			all[f.Path] = f
			if f.Directory {
				dirs = append(dirs, decode(f.Path))
			}
		}
	}
	require.NoError(b.t, a.store.Close())
	return all
}

func put(t *testing.T, path string, size int) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, make([]byte, size), 0o644))
}

// walked is what filepath.WalkDir says of a tree, the root left out.
func walked(t *testing.T, root string) (files, dirs, size int64, folders map[string]int64) {
	t.Helper()
	folders = map[string]int64{}
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() {
			dirs++
			folders[path] += 0
			return nil
		}
		files++
		size += info.Size()
		for up := filepath.Dir(path); up != root; up = filepath.Dir(up) {
			folders[up] += info.Size()
		}
		return nil
	}))
	return files, dirs, size, folders
}

func requireFolders(t *testing.T, b bench, root string, folders map[string]int64) {
	t.Helper()
	got := map[string]int64{}
	for path, f := range b.rows(root) {
		if f.Directory {
			require.NotNil(t, f.FolderSize, path)
			got[decode(path)] = *f.FolderSize
		}
	}
	require.Equal(t, folders, got)
}

func TestARealTreeIsIndexedAsWalkDirSeesIt(t *testing.T) {
	b := newBench(t)
	root := filepath.Join(goRoot(b.t), "src", "net")
	files, dirs, size, folders := walked(t, root)
	r := b.index(root)
	require.Equal(t, report{Path: root, Files: files, Directories: dirs, Bytes: size, Added: files + dirs}, r)
	requireFolders(t, b, root, folders)
	again := b.index(root)
	require.Equal(t, report{Path: root, Files: files, Directories: dirs, Bytes: size, Unchanged: files + dirs}, again)

	var summary []struct{ Files, Bytes int64 }
	require.NoError(t, json.Unmarshal([]byte(b.ok("-json", "summary")), &summary))
	var sumFiles, sumBytes int64
	for _, s := range summary {
		sumFiles, sumBytes = sumFiles+s.Files, sumBytes+s.Bytes
	}
	require.Equal(t, files, sumFiles)
	require.Equal(t, size, sumBytes)
}

func TestASecondRunTakesUpWhatChanged(t *testing.T) {
	b, root := newBench(t), t.TempDir()
	put(t, filepath.Join(root, "same"), 1)
	put(t, filepath.Join(root, "grown"), 1)
	put(t, filepath.Join(root, "gone"), 1)
	put(t, filepath.Join(root, "dir", "sub", "gone"), 5)
	put(t, filepath.Join(root, "dir-to-file", "x"), 1)
	put(t, filepath.Join(root, "file-to-dir"), 1)
	b.index(root)

	put(t, filepath.Join(root, "grown"), 3)
	require.NoError(t, os.Remove(filepath.Join(root, "gone")))
	require.NoError(t, os.RemoveAll(filepath.Join(root, "dir", "sub")))
	require.NoError(t, os.RemoveAll(filepath.Join(root, "dir-to-file")))
	put(t, filepath.Join(root, "dir-to-file"), 7)
	require.NoError(t, os.Remove(filepath.Join(root, "file-to-dir")))
	put(t, filepath.Join(root, "file-to-dir", "y"), 9)
	put(t, filepath.Join(root, "new"), 2)

	files, dirs, size, folders := walked(t, root)
	r := b.index(root)
	require.Equal(t, files, r.Files)
	require.Equal(t, dirs, r.Directories)
	require.Equal(t, size, r.Bytes)
	require.EqualValues(t, 2, r.Removed, "gone, and sub with what was in it")
	require.EqualValues(t, 2, r.Added, "new and y")
	require.EqualValues(t, 1, r.Unchanged)
	require.Len(t, b.rows(root), int(files+dirs))
	requireFolders(t, b, root, folders)
	require.Equal(t, files+dirs, b.index(root).Unchanged)
}

func TestNamesThatMeanSomethingInJSONAreIndexedAsTheyAre(t *testing.T) {
	b, root := newBench(t), t.TempDir()
	for _, name := range []string{`"`, `""`, `\`, `\\"`, `\u0041`, `\x`, "\n\r\t", "\x01\x1f\x7f", "\u2028\u2029", "\U0001F600.Go", "\uFFFD\U0010FFFF", "</script>&", `{"path":1}`, "[]", "null", "true", "1e3", "' OR 1"} {
		put(t, filepath.Join(root, name), 1)
		put(t, filepath.Join(root, "dirs", name, name), 2)
	}
	files, dirs, size, folders := walked(t, root)
	require.Equal(t, report{Path: root, Files: files, Directories: dirs, Bytes: size, Added: files + dirs}, b.index(root))
	requireFolders(t, b, root, folders)
	rows := b.rows(root)
	require.Len(t, rows, int(files+dirs))
	for path := range rows {
		_, err := os.Lstat(decode(path))
		require.NoError(t, err, "every row leads back to its file")
	}
	require.Equal(t, report{Path: root, Files: files, Directories: dirs, Bytes: size, Unchanged: files + dirs}, b.index(root))
}

// TestALargeDirectoryIsTakenUpInChunks: what is in it changes across their bounds.
func TestALargeDirectoryIsTakenUpInChunks(t *testing.T) {
	b, root := newBench(t), t.TempDir()
	for i := range 1100 {
		put(t, filepath.Join(root, "large", fmt.Sprint("f", i)), 1)
		if i%100 == 0 {
			put(t, filepath.Join(root, "large", fmt.Sprint("d", i), "x"), 1)
		}
	}
	files, dirs, size, folders := walked(t, root)
	require.Equal(t, report{Path: root, Files: files, Directories: dirs, Bytes: size, Added: files + dirs}, b.index(root))
	requireFolders(t, b, root, folders)
	for i := range 1100 {
		file, dir := filepath.Join(root, "large", fmt.Sprint("f", i)), filepath.Join(root, "large", fmt.Sprint("d", i))
		switch {
		case i%100 == 0: // they change their places
			require.NoError(t, os.RemoveAll(dir))
			require.NoError(t, os.Remove(file))
			put(t, dir, 3)
			put(t, filepath.Join(file, "y"), 4)
		case i%2 == 0:
			require.NoError(t, os.Remove(file))
		default:
			put(t, file, 2)
		}
	}
	files, dirs, size, folders = walked(t, root)
	r := b.index(root)
	require.Equal(t, report{
		Path: root, Files: files, Directories: dirs, Bytes: size,
		Added: 11, Changed: 550 + 11 + 11 + 1, Removed: 550 - 11,
	}, r, "the y are new; large itself has changed, and half of the files have grown")
	require.Len(t, b.rows(root), int(files+dirs))
	requireFolders(t, b, root, folders)
	require.Equal(t, files+dirs, b.index(root).Unchanged)
}

func TestADirectoryBeyondTheSystemsPathLimitIsCountedAndReported(t *testing.T) {
	b, root := newBench(t), t.TempDir()
	// Made from inside, step by step: no path leads there.
	script := `for i in $(seq 25); do mkdir ` + strings.Repeat("d", 200) + ` && cd ` + strings.Repeat("d", 200) + `; done; echo x > end`
	out, err := exec.CommandContext(t.Context(), "bash", "-c", "cd "+root+" && "+script).CombinedOutput()
	require.NoError(t, err, string(out))
	code, stdout, stderr := b.run("index", root)
	require.Zero(t, code)
	require.Contains(t, stdout, "1 have a path that is too long")
	require.Contains(t, stderr, "file name too long")
	require.NoError(t, exec.CommandContext(t.Context(), "rm", "-rf", filepath.Join(root, strings.Repeat("d", 200))).Run())
}

// goRoot is where a real tree is: Go's own.
func goRoot(t testing.TB) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

func TestAFullDiskIsOneClearLineAndTheDatabaseStaysWhole(t *testing.T) {
	b := newBench(t)
	small := t.TempDir()
	put(t, filepath.Join(small, "first"), 1)
	b.index(small)
	var out, errs bytes.Buffer
	code := runWith(t.Context(), []string{"-db", b.db, "index", filepath.Join(goRoot(b.t), "src", "net")}, &out, &errs,
		pool.Config{Pragmas: map[string]string{"max_page_count": "60"}})
	require.Equal(t, failed, code)
	require.Regexp(t, `^fileindex: the disk is full, [^\n]+\n$`, errs.String())
	require.Len(t, b.rows(small), 1)
	pooltest.New(t, pooltest.Config(func(c *pool.Config) { c.Path = b.db })) // sees to it that it is whole
}

func TestWrongUsageIsTwoAndNamesTheThing(t *testing.T) {
	b := newBench(t)
	for want, args := range map[string][]string{
		"a command is missing":       {},
		`there is no command "fly"`:  {"fly"},
		"index needs DIR...":         {"index"},
		`list does not take "b"`:     {"list", "a", "b"},
		"summary takes no -n":        {"summary", "-n", "3"},
		`"-5" for flag -n: not a co`: {"search", "-n", "-5", "a"},
		`"-1" for flag -n: not a co`: {"largest", "-n", "-1"},
		`"x" for flag -n: not a cou`: {"log", "-n", "x"},
		"flag provided but not defi": {"-what"},
	} {
		code, stdout, stderr := b.run(args...)
		require.Equal(t, misused, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, want)
		require.Contains(t, stderr, "fileindex -help tells more")
	}
	for _, args := range [][]string{{"-help"}, {"index", "--help"}, {"help"}} {
		code, stdout, _ := b.run(args...)
		require.Zero(t, code)
		require.Contains(t, stdout, "Usage: fileindex")
	}
}

func TestBadDirectoriesFailBeforeAnythingIsWritten(t *testing.T) {
	b, root := newBench(t), t.TempDir()
	put(t, filepath.Join(root, "x"), 1)
	for want, dir := range map[string]string{
		"no such file or directory": filepath.Join(root, "none"),
		"is not a directory":        filepath.Join(root, "x"),
	} {
		code, _, stderr := b.run("index", root, dir)
		require.Equal(t, failed, code)
		require.Contains(t, stderr, want)
	}
	require.NoFileExists(t, b.db)
	b.index(t.TempDir())
	code, _, stderr := b.run("list", root)
	require.Equal(t, failed, code)
	require.Contains(t, stderr, "is not indexed; index it")
	code, _, stderr = bench{t, filepath.Join(root, "none.db")}.run("summary")
	require.Equal(t, failed, code)
	require.Contains(t, stderr, "there is no index at")
}

func TestOverlappingTreesAreIndexedOnceAndKeepFolderSizesRight(t *testing.T) {
	b, root := newBench(t), t.TempDir()
	put(t, filepath.Join(root, "a", "b", "x"), 5)
	put(t, filepath.Join(root, "ab", "y"), 6)
	require.Contains(t, b.ok("index", filepath.Join(root, "a"), root, root), root+": 2 files and 3 directories")
	put(t, filepath.Join(root, "a", "b", "more"), 10)
	b.index(filepath.Join(root, "a", "b"))
	_, _, _, folders := walked(t, root)
	requireFolders(t, b, root, folders)
}

func TestEveryCommandPrintsOneJSONDocumentAndLines(t *testing.T) {
	b, root := newBench(t), t.TempDir()
	put(t, filepath.Join(root, "small.go"), 1)
	put(t, filepath.Join(root, "large.go"), 2048)
	b.index(root)
	for _, args := range [][]string{{"search", "go"}, {"list", root}, {"largest"}, {"summary"}, {"log"}, {"index", root}} {
		text := b.ok(append([]string{"-json"}, args...)...)
		require.True(t, json.Valid([]byte(text)), text)
	}
	require.Regexp(t, `^ *2\.0 KiB .* \S+/large\.go\n +1 B .* \S+/small\.go\n$`, b.ok("largest"))
	require.Regexp(t, `^ *2\.0 KiB [^\n]+large\.go\n$`, b.ok("largest", "-n", "1"))
	require.Contains(t, b.ok("summary"), "code  2 files  2.0 KiB")
	require.Contains(t, b.ok("log"), "index")
	require.Contains(t, b.ok("-stats", "summary"), "Acquires")
	require.Contains(t, b.ok("-json", "-stats", "summary"), `"Acquires":`)
}

func TestNamesComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SampledFrom([]string{"a", `\`, "x", "f", "0", "\xff", "\xc3", "ä", "/", `\x`, "\x80"})).Draw(t, "parts")
		name := strings.Join(parts, "")
		require.Equal(t, name, decode(encode(name)))
		require.True(t, json.Valid([]byte(fmt.Sprintf("%q", "x"))))
	})
	require.Equal(t, `plain\name`, encode(`plain\name`), "names that need nothing stay as they are")
}

func TestAnEndedContextIsAnInterrupt(t *testing.T) {
	b, root := newBench(t), t.TempDir()
	put(t, filepath.Join(root, "x"), 1)
	b.index(root)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	require.NotZero(t, run(ctx, []string{"-db", b.db, "index", root}, &out, &errs))
}
