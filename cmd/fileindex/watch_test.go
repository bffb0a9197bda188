package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/repo"
	"github.com/sqlane/sqlane/schema"
	"github.com/stretchr/testify/require"
)

// watcher is a command that goes on, and what it prints.
type watcher struct {
	t              testing.TB
	stdout, stderr chan string // lines
	stop           context.CancelFunc
	code           chan int
	ending         bool
}

// watching starts a command that goes on.
func (b bench) watching(args ...string) *watcher {
	return started(b.t, func(ctx context.Context, stdout, stderr io.Writer) int {
		return run(ctx, append([]string{"-db", b.db}, args...), stdout, stderr)
	})
}

func started(t testing.TB, command func(ctx context.Context, stdout, stderr io.Writer) int) *watcher {
	ctx, stop := context.WithCancel(t.Context())
	w := &watcher{t: t, stop: stop, code: make(chan int, 1)}
	outEnd, out := io.Pipe()
	errEnd, errs := io.Pipe()
	w.stdout, w.stderr = lines(outEnd), lines(errEnd)
	go func() {
		code := command(ctx, out, errs)
		out.Close()
		errs.Close()
		w.code <- code
	}()
	t.Cleanup(func() {
		if !w.ending {
			w.end()
		}
	})
	return w
}

func lines(r io.Reader) chan string {
	all := make(chan string, 1000)
	go func() {
		defer close(all)
		for s := bufio.NewScanner(r); s.Scan(); {
			all <- s.Text()
		}
	}()
	return all
}

// next is the next line; the test's own timeout is the longest wait for it.
func (w *watcher) next(lines chan string) string {
	w.t.Helper()
	line, ok := <-lines
	require.True(w.t, ok, "it ended by itself")
	return line
}

// until reads lines until one contains a text.
func (w *watcher) until(text string) string {
	w.t.Helper()
	for {
		if line := w.next(w.stdout); strings.Contains(line, text) {
			return line
		}
	}
}

// end interrupts the command and returns what was not read yet.
func (w *watcher) end() (code int, stdout, stderr string) {
	w.ending = true
	w.stop()
	return w.ended()
}

// ended waits until the command ends.
func (w *watcher) ended() (code int, stdout, stderr string) {
	w.ending = true
	var out, errs strings.Builder
	for line := range w.stdout {
		out.WriteString(line + "\n")
	}
	for line := range w.stderr {
		errs.WriteString(line + "\n")
	}
	return <-w.code, out.String(), errs.String()
}

// indexElsewhere indexes a tree in another process.
func (b bench) indexElsewhere(dir string) {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), os.Args[0], "-db", b.db, "index", dir)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(b.t, err, string(out))
}

// emptyBench has a database in which nothing is indexed.
func emptyBench(t *testing.T) bench {
	t.Helper()
	b := newBench(t)
	p, err := pool.Open(t.Context(), pool.Config{Path: b.db})
	require.NoError(t, err)
	require.NoError(t, schema.Up(t.Context(), p.DB()))
	require.NoError(t, p.Close())
	return b
}

func TestWatchPrintsALineForEachChangeUntilItIsInterrupted(t *testing.T) {
	t.Parallel() // for it waits
	b, root := emptyBench(t), filepath.Join(goRoot(t), "src", "net")
	w := b.watching("-stats", "watch", root)
	require.Equal(t, root+": 0 files and 0 directories, 0 B; last run: none yet", w.next(w.stdout))

	b.indexElsewhere(root)
	files, dirs, size, _ := walked(t, root)
	last := w.until(" index, ")
	require.Contains(t, last, fmt.Sprintf("%s: %s files and %s directories, %s (code ", root, humanize.Comma(files), humanize.Comma(dirs), humanize.IBytes(uint64(size))))
	require.Contains(t, last, fmt.Sprintf(" index, %s entries, ", humanize.Comma(files+dirs)))
	require.True(t, strings.HasSuffix(last, ", "+root), last)

	code, stdout, stderr := w.end()
	require.Equal(t, interrupted, code)
	require.Equal(t, "fileindex: interrupted\n", stderr)
	require.Contains(t, stdout, "the connection pool:")
	require.NotContains(t, stdout, root, "what had not changed was not printed again")
}

func TestWatchTellsOfItsDirectoryAlone(t *testing.T) {
	t.Parallel() // for it waits
	b, root := emptyBench(t), t.TempDir()
	put(t, filepath.Join(root, "in", "sub", "x.go"), 1)
	put(t, filepath.Join(root, "inside", "y.go"), 10)
	w := b.watching("watch", filepath.Join(root, "in", "..", "in"))
	b.indexElsewhere(root)
	require.Contains(t, w.until(" index, "), filepath.Join(root, "in")+": 1 files and 1 directories, 1 B (code 1 B); ")
	put(t, filepath.Join(root, "in", "z\x1b.png"), 100)
	b.indexElsewhere(root)
	require.Contains(t, w.until("(image"), ": 2 files and 1 directories, 101 B (image 100 B, code 1 B); ")
	require.NoError(t, os.RemoveAll(filepath.Join(root, "in")))
	b.indexElsewhere(root)
	w.until(": 0 files and 0 directories, 0 B; ")
}

func TestWatchPrintsNothingTwiceUnlessItHasComplainedBetween(t *testing.T) {
	t.Parallel() // for it waits
	for _, kind := range []app{{}, {json: true}} {
		var out, errs bytes.Buffer
		kind.out, kind.err = &out, &errs
		d := &display{app: &kind}
		for range 2 { // a commit that changed nothing below the directory
			require.NoError(t, d.show(watched{Path: "/a"}))
		}
		require.Equal(t, 1, strings.Count(out.String(), "\n"))
		for range 2 {
			require.NoError(t, d.complain("trouble"))
		}
		require.Equal(t, "fileindex: trouble\n", errs.String())
		require.NoError(t, d.show(watched{Path: "/a"}))
		require.Equal(t, 2, strings.Count(out.String(), "\n"))
	}
}

func TestWatchPrintsOneJSONDocumentALine(t *testing.T) {
	t.Parallel() // for it waits
	b, root := emptyBench(t), filepath.Join(goRoot(t), "src", "net")
	w := b.watching("watch", root, "-json")
	require.JSONEq(t, fmt.Sprintf(`{"path":%q,"files":0,"directories":0,"bytes":0,"categories":[],"last_run":null}`, root), w.next(w.stdout))
	b.indexElsewhere(root)
	var got watched
	for got.LastRun == nil {
		got = watched{}
		require.NoError(t, json.Unmarshal([]byte(w.next(w.stdout)), &got))
		var files, size int64
		for _, c := range got.Categories {
			files, size = files+c.Files, size+c.Bytes
		}
		require.Equal(t, got.Files, files, "a document is of one moment")
		require.Equal(t, got.Bytes, size)
	}
	files, dirs, size, _ := walked(t, root)
	require.Equal(t, [3]int64{files, dirs, size}, [3]int64{got.Files, got.Directories, got.Bytes})
	require.Equal(t, files+dirs, got.LastRun.Entries)
	require.Equal(t, root, got.LastRun.Path)
	code, stdout, _ := w.end()
	require.Equal(t, interrupted, code)
	require.Empty(t, stdout)
}

func TestWatchSaysThatTheDatabaseIsAwayAndGoesOnWhenItIsBack(t *testing.T) {
	t.Parallel() // for it waits
	b, root := emptyBench(t), t.TempDir()
	put(t, filepath.Join(root, "x"), 1)
	w := b.watching("watch", root)
	first := w.next(w.stdout)
	require.NoError(t, os.Rename(b.db, b.db+".away"))
	require.Equal(t, "fileindex: "+b.db+" was moved or replaced; move it back, or run this again with what is there now", w.next(w.stderr))
	require.NoError(t, os.Rename(b.db+".away", b.db))
	require.Equal(t, first, w.next(w.stdout), "it is back")
	b.indexElsewhere(root)
	require.Contains(t, w.until(" index, "), ": 1 files and 0 directories, 1 B")
	code, _, stderr := w.end()
	require.Equal(t, interrupted, code)
	require.Equal(t, "fileindex: interrupted\n", stderr)
}

// emulator is what a terminal shows of what was written to it. It knows what watch
// tells it.
type emulator struct {
	rows []string
	row  int
}

var control = regexp.MustCompile(`\x1b\[(\??[0-9]*)([A-Za-z])|[\r\n]|[^\x1b\r\n]+`)

func (s *emulator) write(t testing.TB, text string) {
	t.Helper()
	for _, m := range control.FindAllStringSubmatch(text, -1) {
		for len(s.rows) <= s.row {
			s.rows = append(s.rows, "")
		}
		switch m[2] {
		case "A":
			n, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			require.GreaterOrEqual(t, s.row, n, "it draws over what others have written")
			s.row -= n
		case "J":
			s.rows = append(s.rows[:s.row], "")
		case "K":
			s.rows[s.row] = ""
		case "l", "h":
			require.Equal(t, "?7", m[1])
		default:
			switch m[0] {
			case "\n":
				s.row++
			case "\r":
			default:
				s.rows[s.row] += m[0]
			}
		}
	}
}

// drawing are the writes of a command; each is a whole drawing.
type drawing struct {
	all  chan string
	over <-chan struct{}
}

func (d drawing) Write(p []byte) (int, error) {
	select {
	case d.all <- string(p):
	case <-d.over:
	}
	return len(p), nil
}

func TestOnATerminalWatchDrawsInPlace(t *testing.T) {
	t.Parallel() // for it waits
	b, root := emptyBench(t), t.TempDir()
	put(t, filepath.Join(root, "x.go"), 1)
	p, err := pool.Open(t.Context(), pool.Config{Path: b.db, ReadOnly: true, WatchInterval: watchInterval})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := drawing{make(chan string), ctx.Done()}
	ended := make(chan error, 1)
	go func() {
		ended <- watch(ctx, &app{at: &file{path: b.db, pool: p}, repo: repo.New(p), out: out, err: io.Discard, terminal: true, args: []string{root}})
	}()
	screen := &emulator{rows: []string{"$ fileindex watch"}, row: 1}
	until := func(text string) []string {
		for {
			select {
			case drawn := <-out.all:
				screen.write(t, drawn)
				if strings.Contains(drawn, text) {
					return screen.rows
				}
			case err := <-ended:
				require.Fail(t, "it ended by itself", "%v", err)
			}
		}
	}
	empty := []string{"$ fileindex watch", root, "0 files and 0 directories, 0 B", "last run: none yet", ""}
	require.Equal(t, empty, until("none yet"))

	require.NoError(t, os.Rename(b.db, b.db+".away"))
	away := until("moved or replaced")
	require.Equal(t, append(empty[:4:4], b.db+" was moved or replaced; move it back, or run this again with what is there now", ""), away)
	require.NoError(t, os.Rename(b.db+".away", b.db))
	require.Equal(t, empty, until("none yet"))

	b.indexElsewhere(root)
	rows := until("  index  ")
	require.Len(t, rows, 6)
	require.Equal(t, []string{"$ fileindex watch", root, "1 files and 0 directories, 1 B", "  code  1 files  1 B"}, rows[:4])
	require.Regexp(t, `^last run: [0-9: -]{19}  index  1 entries  \S+  `+root+`$`, rows[4])
	stop()
	require.ErrorIs(t, <-ended, errInterrupted)
}

func TestWatchEndsWithWhatItCannotGoOnWith(t *testing.T) {
	t.Parallel() // for it waits
	b, root := emptyBench(t), t.TempDir()
	code, _, stderr := bench{t, filepath.Join(root, "none.db")}.run("watch", root)
	require.Equal(t, failed, code)
	require.Contains(t, stderr, "there is no index at "+filepath.Join(root, "none.db")+"; make one with fileindex index")
	require.NoFileExists(t, filepath.Join(root, "none.db"))

	for want, args := range map[string][]string{
		"watch needs DIR":         {"watch"},
		`watch does not take "b"`: {"watch", "a", "b"},
		"watch takes no -n":       {"watch", "-n", "3", "a"},
	} {
		code, _, stderr := b.run(args...)
		require.Equal(t, misused, code)
		require.Contains(t, stderr, want)
	}

	full := started(t, func(ctx context.Context, _, stderr io.Writer) int {
		return run(ctx, []string{"-db", b.db, "watch", root}, fullDisk{}, stderr)
	})
	code, _, stderr = full.ended()
	require.Equal(t, failed, code)
	require.Equal(t, "fileindex: no room for output\n", stderr)

	w := b.watching("watch", root)
	w.next(w.stdout)
	p, err := pool.Open(t.Context(), pool.Config{Path: b.db})
	require.NoError(t, err)
	db := p.DB()
	_, err = db.ExecContext(t.Context(), "DROP TABLE indexing_log")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.NoError(t, p.Close())
	code, _, stderr = w.ended()
	require.Equal(t, failed, code)
	require.Regexp(t, `^fileindex: [^\n]*no such table: indexing_log[^\n]*\n$`, stderr)
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no room for output") }

func TestAnInterruptBeforeTheDatabaseIsOpenIsOneToo(t *testing.T) {
	b := emptyBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"watch", "."}, {"summary"}} {
		var out, errs bytes.Buffer
		require.Equal(t, interrupted, run(ctx, append([]string{"-db", b.db, "-stats"}, args...), &out, &errs))
		require.Empty(t, out.String())
		require.Equal(t, "fileindex: interrupted\n", errs.String())
	}
}
