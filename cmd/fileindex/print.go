package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/repo"
)

// report is what an indexing run did.
type report struct {
	Path        string        `json:"path"`
	Files       int64         `json:"files"`
	Directories int64         `json:"directories"`
	Bytes       int64         `json:"bytes"`
	Added       int64         `json:"added"`
	Changed     int64         `json:"changed"`
	Unchanged   int64         `json:"unchanged"`
	Removed     int64         `json:"removed"`
	Unreadable  int64         `json:"unreadable"`
	Vanished    int64         `json:"vanished"`
	TooLong     int64         `json:"too_long"`
	NotUTF8     int64         `json:"not_utf8"`
	Duration    time.Duration `json:"duration_ns"`
}

func (x *indexer) report(root string, took time.Duration) report {
	n := &x.n
	return report{
		Path: encode(root), Files: n.files.Load(), Directories: n.directories.Load(), Bytes: n.bytes.Load(),
		Added: n.added.Load(), Changed: n.changed.Load(), Unchanged: n.unchanged.Load(), Removed: n.removed.Load(),
		Unreadable: n.unreadable.Load(), Vanished: n.vanished.Load(), TooLong: n.tooLong.Load(), NotUTF8: n.odd.Load(),
		Duration: took,
	}
}

func printReports(a *app, reports []report) error {
	if a.json {
		return printJSON(a.out, reports)
	}
	for _, r := range reports {
		fmt.Fprintf(a.out, "%s: %s files and %s directories, %s, in %v\n", oneLine(r.Path), humanize.Comma(r.Files),
			humanize.Comma(r.Directories), humanize.IBytes(uint64(r.Bytes)), r.Duration.Round(time.Millisecond))
		fmt.Fprintf(a.out, "  %s added, %s changed, %s unchanged, %s removed\n",
			humanize.Comma(r.Added), humanize.Comma(r.Changed), humanize.Comma(r.Unchanged), humanize.Comma(r.Removed))
		for _, skipped := range []struct {
			n    int64
			what string
		}{
			{r.Unreadable, "could not be read; what was known of them is kept"},
			{r.Vanished, "vanished while they were read"},
			{r.TooLong, "have a path that is too long for the system; they and what lies in them are not indexed"},
			{r.NotUTF8, "names are not UTF-8 and were stored with \\xHH"},
		} {
			if skipped.n > 0 {
				fmt.Fprintf(a.out, "  %s %s\n", humanize.Comma(skipped.n), skipped.what)
			}
		}
	}
	return nil
}

// longest is more than the length of any name, however it is stored.
const longest = 4096

func search(ctx context.Context, a *app) error {
	found, err := find(ctx, a.repo, a.args[0], a.limit)
	if err != nil {
		return err
	}
	return printFiles(a, found)
}

// find finds the entries whose name begins with the text, then those that contain it.
func find(ctx context.Context, in *repo.Repo, text string, limit int64) ([]gen.File, error) {
	text, ok := needle(text)
	found := []gen.File{}
	if !ok {
		return found, nil
	}
	err := in.View(ctx, func(ctx context.Context, q repo.Reader) error {
		first, err := q.SearchFilesByPrefix(ctx, gen.SearchFilesByPrefixParams{Prefix: text, Count: limit})
		if err != nil {
			return err
		}
		more, err := q.SearchFilesBySubstring(ctx, gen.SearchFilesBySubstringParams{Part: text, Count: limit})
		if err != nil {
			return err
		}
		found = first
		seen := make(map[int64]bool)
		for _, f := range first {
			seen[f.ID] = true
		}
		for _, f := range more {
			if int64(len(found)) < limit && !seen[f.ID] {
				found = append(found, f)
			}
		}
		return nil
	})
	return found, err
}

// needle is a text as names are searched for it; ok is false if none contains it.
func needle(text string) (_ string, ok bool) {
	if !utf8.ValidString(text) {
		text = encode(text) // as such names are stored
	}
	text = strings.ToLower(text)
	// LIKE would read no further than a NUL, and fail on a very long text.
	return text, len(text) <= longest && !strings.ContainsRune(text, 0)
}

// resolve makes an absolute path, without links if it is there.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return path, nil
}

func list(ctx context.Context, a *app) error {
	path, err := resolve(a.args[0])
	if err != nil {
		return err
	}
	entries := []gen.File{}
	err = a.repo.View(ctx, func(ctx context.Context, q repo.Reader) error {
		dir, err := q.GetDirectoryByPath(ctx, encode(path))
		if err != nil {
			return err
		}
		page := gen.ListDirectoryParams{DirectoryID: dir.ID, Count: 1000}
		for {
			files, err := q.ListDirectory(ctx, page)
			if err != nil || len(files) == 0 {
				return err
			}
			entries = append(entries, files...)
			last := files[len(files)-1]
			page.AfterName, page.AfterID = last.NameLower, last.ID
		}
	})
	if errors.Is(err, repo.ErrNotFound) {
		return fmt.Errorf("%s is not indexed; index it, or a directory above it, first", path)
	}
	if err != nil {
		return err
	}
	return printFiles(a, entries)
}

func largest(ctx context.Context, a *app) error {
	files, err := a.repo.LargestFiles(ctx, a.limit)
	if err != nil {
		return err
	}
	return printFiles(a, files)
}

// fileJSON is an entry as -json prints it.
type fileJSON struct {
	Path       string    `json:"path"`
	Directory  bool      `json:"directory"`
	Size       *int64    `json:"size"`
	FolderSize *int64    `json:"folder_size,omitempty"`
	Modified   time.Time `json:"modified"`
}

func printFiles(a *app, files []gen.File) error {
	if a.json {
		list := []fileJSON{}
		for _, f := range files {
			list = append(list, fileJSON{Path: f.Path, Directory: f.IsDirectory, Size: f.Size, FolderSize: f.FolderSize, Modified: f.DateModified.Time})
		}
		return printJSON(a.out, list)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, f := range files {
		size, path := f.Size, f.Path
		if f.IsDirectory {
			size, path = f.FolderSize, path+"/"
		}
		text := "?"
		if size != nil {
			text = humanize.IBytes(uint64(*size))
		}
		fmt.Fprintf(w, "%s\t%s\t  %s\n", text, f.DateModified.Format("2006-01-02 15:04"), oneLine(path))
	}
	return w.Flush()
}

// categoryLine is a category and what is in it.
type categoryLine struct {
	Category string `json:"category"`
	Files    int64  `json:"files"`
	Bytes    int64  `json:"bytes"`
}

func (l categoryLine) print(w io.Writer) {
	fmt.Fprintf(w, "%s\t%s files\t%s\t\n", l.Category, humanize.Comma(l.Files), humanize.IBytes(uint64(l.Bytes)))
}

func summary(ctx context.Context, a *app) error {
	rows, err := a.repo.SummarizeCategories(ctx)
	if err != nil {
		return err
	}
	lines := []categoryLine{}
	total := categoryLine{Category: "total"}
	for _, r := range rows {
		lines = append(lines, categoryLine{string(r.Category), r.Files, r.TotalSize})
		total.Files += r.Files
		total.Bytes += r.TotalSize
	}
	if a.json {
		return printJSON(a.out, lines)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, l := range append(lines, total) {
		l.print(w)
	}
	return w.Flush()
}

// runLine is a run of index.
type runLine struct {
	At       time.Time     `json:"at"`
	Ended    string        `json:"operation"`
	Path     string        `json:"path"`
	Entries  int64         `json:"entries"`
	Duration time.Duration `json:"duration_ns"`
}

func newRunLine(r gen.IndexingLog) runLine {
	return runLine{r.Timestamp.Time, string(r.Operation), r.Path, r.FileCount, r.Duration}
}

func (l runLine) print(w io.Writer, sep string) {
	fmt.Fprint(w, strings.Join([]string{
		l.At.Format(time.DateTime), l.Ended, humanize.Comma(l.Entries) + " entries", l.Duration.Round(time.Millisecond).String(), oneLine(l.Path),
	}, sep))
}

func runs(ctx context.Context, a *app) error {
	log, err := a.repo.RecentLog(ctx, a.limit)
	if err != nil {
		return err
	}
	lines := []runLine{}
	for _, r := range log {
		lines = append(lines, newRunLine(r))
	}
	if a.json {
		return printJSON(a.out, lines)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		l.print(w, "\t")
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// printStats prints every figure of a struct that is not zero.
func printStats(out io.Writer, s any, asJSON bool) {
	if asJSON {
		_ = printJSON(out, s)
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			fmt.Fprintf(w, "%s\t%v\n", v.Type().Field(i).Name, v.Field(i).Interface())
		}
	}
	_ = w.Flush()
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// oneLine makes control characters visible, so that no name breaks a line or
// commands the terminal.
func oneLine(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			fmt.Fprintf(&b, `\x%02x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
