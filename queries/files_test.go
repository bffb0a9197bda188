package queries_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/repo"
	"github.com/stretchr/testify/require"
)

func TestUpsertFileKeepsIDAndCreationAndReturnsTheRow(t *testing.T) {
	q := open(t)
	dir := plant(t, q, tree{"/a/": 0})["/a"]
	made, err := q.UpsertFile(t.Context(), entry(dir, "/a/X.Go", false, 7))
	require.NoError(t, err)
	require.NotNil(t, made.FileTypeID, "go is known")
	require.Equal(t, "x.go", made.NameLower)
	require.Equal(t, day, made.DateCreated)

	changed := entry(dir, "/a/X.Go", false, 9)
	changed.DateCreated = later(time.Hour)
	again, err := q.UpsertFile(t.Context(), changed)
	require.NoError(t, err)
	want := made
	want.Size, want.DateModified = changed.Size, changed.DateModified
	require.Equal(t, want, again)

	cloud := entry(dir, "/a/far.unknown", false, 0)
	cloud.Size, cloud.CloudProvider, cloud.CloudStatus = nil, column.Dropbox, column.CloudOnly
	far, err := q.UpsertFile(t.Context(), cloud)
	require.NoError(t, err)
	require.Nil(t, far.Size)
	require.Nil(t, far.FileTypeID)
	cloud.CloudStatus = column.Local
	_, err = q.UpsertFile(t.Context(), cloud)
	require.ErrorIs(t, err, repo.ErrCheck, "a local file has a size")
	_, err = q.UpsertFile(t.Context(), entry(99, "/b/x", false, 1))
	require.ErrorIs(t, err, repo.ErrForeignKey)
}

// listed is the list of one entry that UpsertFiles takes, or of several.
func listed(t *testing.T, entries ...gen.UpsertFileParams) string {
	t.Helper()
	list := []map[string]any{}
	for _, e := range entries {
		list = append(list, map[string]any{
			"directory_id": e.DirectoryID, "path": e.Path, "name": e.Name, "name_lower": e.NameLower, "extension": e.Extension,
			"is_directory": e.IsDirectory, "size": e.Size, "date_created": e.DateCreated.UnixNano(), "date_modified": e.DateModified.UnixNano(),
			"cloud_provider": e.CloudProvider, "cloud_status": e.CloudStatus, "indexed_at": e.IndexedAt.UnixNano(),
		})
	}
	text, err := json.Marshal(list)
	require.NoError(t, err)
	return string(text)
}

// TestUpsertFilesDoesWhatUpsertFileDoes, to two indexes that are the same.
func TestUpsertFilesDoesWhatUpsertFileDoes(t *testing.T) {
	one, many := open(t), open(t)
	var dir, other int64
	for _, q := range []gen.Querier{one, many} {
		for _, path := range []string{"/a/old.go", "/a/sub/", "/a/was-dir/", "/a/was-file", "/b/x"} { // in this order
			plant(t, q, tree{path: 1})
		}
		a, err := q.GetDirectoryByPath(t.Context(), "/a")
		require.NoError(t, err)
		b, err := q.GetDirectoryByPath(t.Context(), "/b")
		require.NoError(t, err)
		dir, other = a.ID, b.ID
		_, err = q.SetFolderSizes(t.Context(), "/a")
		require.NoError(t, err)
	}

	known := entry(dir, "/a/old.go", false, math.MaxInt64)
	known.DirectoryID, known.Name, known.NameLower, known.Extension = other, "Other.png", "other.png", "png"
	known.CloudProvider, known.CloudStatus = column.ICloud, column.Downloaded
	known.DateCreated, known.DateModified, known.IndexedAt = later(time.Hour), column.At(time.Unix(0, math.MaxInt64)), column.At(time.Unix(0, math.MinInt64+1))
	cloud := entry(dir, "/a/far.unknown", false, 0)
	cloud.Size, cloud.CloudProvider, cloud.CloudStatus = nil, column.Dropbox, column.CloudOnly
	early := entry(dir, "/a/early", false, 1<<53+1) // no double has this size
	early.DateCreated, early.DateModified = column.At(time.Unix(0, math.MinInt64+1)), column.At(time.Unix(0, 1<<60+1))
	entries := []gen.UpsertFileParams{known, cloud, early, entry(dir, "/a/sub", true, 0), entry(dir, "/a/was-dir", false, 3), entry(dir, "/a/was-file", true, 0)}
	for i, name := range []string{`quo"te's`, `back\slash\u0041`, "new\nline\ttab\r\x01\x1f\x7f", "\u2028\u2029", "\U0001F600\U0010FFFF\uFFFD", "<&>", "[1]", `{"path": 1}`, "null", "1e3", "007"} {
		entries = append(entries, entry(dir, "/a/"+name, false, int64(i)), entry(dir, "/a/"+name+".png", false, int64(i)))
	}
	entries = append(entries, entry(dir, "/a/null", false, 77)) // the same twice: the last one counts

	for _, e := range entries {
		_, err := one.UpsertFile(t.Context(), e)
		require.NoError(t, err)
	}
	n, err := many.UpsertFiles(t.Context(), listed(t, entries...))
	require.NoError(t, err)
	require.EqualValues(t, len(entries), n)
	all := func(q gen.Querier) []gen.File {
		files, err := q.SearchFilesByPrefix(t.Context(), gen.SearchFilesByPrefixParams{Count: 100})
		require.NoError(t, err)
		return files
	}
	want := all(one)
	require.Len(t, want, 5+len(entries)-5, "four were known and one comes twice; /b/x stays")
	require.Equal(t, want, all(many))
}

func TestUpsertFilesTakesAllEntriesOrNone(t *testing.T) {
	q := open(t)
	dir := plant(t, q, tree{"/a/known": 1})["/a"]
	before, err := q.GetFileByPath(t.Context(), "/a/known")
	require.NoError(t, err)
	changed, good := entry(dir, "/a/known", false, 2), entry(dir, "/a/good", false, 1)
	nameless, far, away, lost := entry(dir, "/a/x", false, 1), entry(dir, "/a/x", false, 1), entry(dir, "/a/x", false, 1), entry(99, "/b/x", false, 1)
	nameless.Name = ""
	far.CloudStatus = column.CloudOnly
	away.CloudProvider = "elsewhere"
	for _, c := range []struct {
		list, constraint string
		want             error
	}{
		{listed(t, changed, good, nameless), "files_name_not_empty", repo.ErrCheck},
		{listed(t, changed, good, far), "files_size_unless_cloud_only", repo.ErrCheck},
		{listed(t, changed, good, away), "files_cloud_provider_known", repo.ErrCheck},
		{listed(t, changed, good, lost), "FOREIGN KEY", repo.ErrForeignKey},
		{strings.Replace(listed(t, changed, good), `"name"`, `"Name"`, 1), "files.name", nil},
		{strings.Replace(listed(t, changed, good), `"size":1`, `"size":1.5`, 1), "files.size", nil},
		{listed(t, changed, good)[1:], "malformed JSON", nil},
		{strings.Replace(listed(t, changed, good), "]", ",7]", 1), "NOT NULL", nil},
	} {
		_, err := q.UpsertFiles(t.Context(), c.list)
		require.ErrorContains(t, err, c.constraint)
		if c.want != nil {
			require.ErrorIs(t, err, c.want)
		}
		all, err := q.SearchFilesByPrefix(t.Context(), gen.SearchFilesByPrefixParams{Count: 10})
		require.NoError(t, err)
		require.Equal(t, []gen.File{before}, all, c.list)
	}
	n, err := q.UpsertFiles(t.Context(), "[]")
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestGetFileAndGetFileByPathFindTheSameRow(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/b.txt": 3})
	byPath, err := q.GetFileByPath(t.Context(), "/a/b.txt")
	require.NoError(t, err)
	byID, err := q.GetFile(t.Context(), byPath.ID)
	require.NoError(t, err)
	require.Equal(t, byPath, byID)
	_, err = q.GetFileByPath(t.Context(), "/a/B.txt")
	require.ErrorIs(t, err, repo.ErrNotFound)
	_, err = q.GetFile(t.Context(), 99)
	require.ErrorIs(t, err, repo.ErrNotFound)
}

func TestListFilesByIDsReturnsThoseThatExistInOrder(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/1": 1, "/a/2": 2, "/a/3": 3})
	all, err := q.SearchFilesByPrefix(t.Context(), gen.SearchFilesByPrefixParams{Count: 10})
	require.NoError(t, err)
	ids := []int64{99}
	for _, f := range all {
		ids = append(ids, f.ID)
	}
	slices.Reverse(ids)
	got, err := q.ListFilesByIDs(t.Context(), ids)
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.True(t, slices.IsSortedFunc(got, func(a, b gen.File) int { return int(a.ID - b.ID) }))
	none, err := q.ListFilesByIDs(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestListDirectoryPagesThroughEveryEntryOnce(t *testing.T) {
	q := open(t)
	files := tree{"/a/sub/deep": 1, "/other/x": 1}
	for i := range 10 {
		files[fmt.Sprintf("/a/file%d", i)] = 1
	}
	dir := plant(t, q, files)["/a"]
	same := entry(dir, "/a/FILE5", false, 1) // the same lower-cased name
	_, err := q.UpsertFile(t.Context(), same)
	require.NoError(t, err)
	var seen []string
	page := gen.ListDirectoryParams{DirectoryID: dir, Count: 3}
	for {
		got, err := q.ListDirectory(t.Context(), page)
		require.NoError(t, err)
		if len(got) == 0 {
			break
		}
		seen = append(seen, paths(got)...)
		last := got[len(got)-1]
		page.AfterName, page.AfterID = last.NameLower, last.ID
	}
	require.Len(t, seen, 12)
	require.Equal(t, "/a/sub", seen[11], "directories are entries too, what lies in them is not")
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(seen))), 12)
}

func TestListEntriesReturnsWhatAnIndexingRunCompares(t *testing.T) {
	q := open(t)
	dir := plant(t, q, tree{"/a/x": 5, "/a/sub/y": 6})["/a"]
	got, err := q.ListEntries(t.Context(), dir)
	require.NoError(t, err)
	require.Len(t, got, 2)
	slices.SortFunc(got, func(a, b gen.ListEntriesRow) int { return len(b.Path) - len(a.Path) })
	five := int64(5)
	require.Equal(t, gen.ListEntriesRow{ID: got[1].ID, Path: "/a/x", Size: &five, DateModified: later(5 * time.Hour)}, got[1])
	require.True(t, got[0].IsDirectory)
}

func TestSearchFilesByPrefixIgnoresCaseAndWildcards(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/Makefile": 1, "/a/make": 1, "/a/ma%e": 1, "/a/mb": 1, "/a/ma\U0010FFFFz": 1})
	got, err := q.SearchFilesByPrefix(t.Context(), gen.SearchFilesByPrefixParams{Prefix: "mak", Count: 10})
	require.NoError(t, err)
	require.Equal(t, []string{"/a/make", "/a/Makefile"}, paths(got))
	got, err = q.SearchFilesByPrefix(t.Context(), gen.SearchFilesByPrefixParams{Prefix: "ma%", Count: 10})
	require.NoError(t, err)
	require.Equal(t, []string{"/a/ma%e"}, paths(got))
	got, err = q.SearchFilesByPrefix(t.Context(), gen.SearchFilesByPrefixParams{Prefix: "m", Count: 2})
	require.NoError(t, err)
	require.Len(t, got, 2)
}

func TestSearchFilesBySubstringTakesWildcardsLiterally(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/100%_sure.txt": 1, "/a/100 sure.txt": 1, `/a/back\slash`: 1, "/a/Unsure": 1})
	for part, want := range map[string][]string{
		"sure":  {"/a/100 sure.txt", "/a/100%_sure.txt", "/a/Unsure"},
		"%":     {"/a/100%_sure.txt"},
		"_":     {"/a/100%_sure.txt"},
		`k\s`:   {`/a/back\slash`},
		"'":     {},
		"0%_su": {"/a/100%_sure.txt"},
	} {
		got, err := q.SearchFilesBySubstring(t.Context(), gen.SearchFilesBySubstringParams{Part: part, Count: 10})
		require.NoError(t, err)
		require.Equal(t, want, paths(got), part)
	}
}

func TestSearchFilesByCategoryCountsWhatHasNoTypeAsOther(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/b%.go": 1, "/a/c.py": 9, "/a/d.png": 5, "/a/e": 7, "/a/be.unheard": 8})
	for _, want := range []struct {
		category column.Category
		part     string
		paths    []string
	}{
		{"code", "", []string{"/a/c.py", "/a/b%.go"}},
		{"code", "b%", []string{"/a/b%.go"}},
		{"code", "d", []string{}},
		{"other", "", []string{"/a/be.unheard", "/a/e"}},
		{"other", "b", []string{"/a/be.unheard"}},
		{"nonsense", "", []string{}},
	} {
		rows, err := q.SearchFilesByCategory(t.Context(), gen.SearchFilesByCategoryParams{Category: want.category, Part: want.part, Count: 10})
		require.NoError(t, err)
		got := []string{}
		for _, r := range rows {
			got = append(got, r.File.Path)
		}
		require.Equal(t, want.paths, got, want)
	}
}

func TestListFilesByExtensionIsExact(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/b.GO": 1, "/a/a.go": 1, "/a/go": 1, "/a/x.gox": 1})
	got, err := q.ListFilesByExtension(t.Context(), gen.ListFilesByExtensionParams{Extension: "go", Count: 10})
	require.NoError(t, err)
	require.Equal(t, []string{"/a/a.go", "/a/b.GO"}, paths(got))
}

func TestListFilesByCategoryReturnsTheLargestFirst(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/b.go": 1, "/a/c.py": 9, "/a/d.png": 5, "/a/e": 7})
	got, err := q.ListFilesByCategory(t.Context(), gen.ListFilesByCategoryParams{Category: column.Code, Count: 10})
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, "/a/c.py", got[0].File.Path)
	require.Equal(t, "/a/b.go", got[1].File.Path)
}

func TestListFilesBySizeHasOptionalBounds(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/1": 1, "/a/2": 2, "/a/3": 3, "/a/sub/": 0})
	two := int64(2)
	for _, c := range []struct {
		min, max *int64
		want     []string
	}{
		{nil, nil, []string{"/a/1", "/a/2", "/a/3"}},
		{&two, nil, []string{"/a/2", "/a/3"}},
		{nil, &two, []string{"/a/1", "/a/2"}},
		{&two, &two, []string{"/a/2"}},
	} {
		got, err := q.ListFilesBySize(t.Context(), gen.ListFilesBySizeParams{MinSize: c.min, MaxSize: c.max, Count: 10})
		require.NoError(t, err)
		require.Equal(t, c.want, paths(got))
	}
}

func TestListFilesByDateHasOptionalBounds(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/1": 1, "/a/2": 2, "/a/3": 3})
	two := later(2 * time.Hour)
	for _, c := range []struct {
		since, before column.Time
		want          []string
	}{
		{column.Time{}, column.Time{}, []string{"/a/1", "/a/2", "/a/3"}},
		{two, column.Time{}, []string{"/a/2", "/a/3"}},
		{column.Time{}, two, []string{"/a/1"}},
		{two, two, []string{}},
	} {
		got, err := q.ListFilesByDate(t.Context(), gen.ListFilesByDateParams{Since: c.since, Before: c.before, Count: 10})
		require.NoError(t, err)
		require.Equal(t, c.want, paths(got))
	}
}

func TestLargestFilesAndNewestFilesLeaveDirectoriesOut(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/1": 1, "/a/9": 9, "/a/sub/5": 5})
	largest, err := q.LargestFiles(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, []string{"/a/9", "/a/sub/5"}, paths(largest))
	newest, err := q.NewestFiles(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, []string{"/a/9", "/a/sub/5"}, paths(newest))
}

func TestSummarizeCategoriesCountsFilesWithoutATypeAsOther(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/b.go": 1, "/a/c.py": 9, "/a/lib.so": 5, "/a/e": 7, "/a/sub/": 0})
	got, err := q.SummarizeCategories(t.Context())
	require.NoError(t, err)
	require.Equal(t, []gen.SummarizeCategoriesRow{
		{Category: column.Other, Files: 2, TotalSize: 12},
		{Category: column.Code, Files: 2, TotalSize: 10},
	}, got)
}

func TestSummarizeDirectoryCountsBelowADirectoryAndTheRoot(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/b.go": 1, "/a/sub/c.py": 9, "/a/e": 7, "/ab/d.go": 5, "/a/sub/f/": 0})
	got, err := q.SummarizeDirectory(t.Context(), "/a")
	require.NoError(t, err)
	require.Equal(t, []gen.SummarizeDirectoryRow{
		{Category: column.Code, Files: 2, TotalSize: 10},
		{Category: column.Other, Files: 1, TotalSize: 7},
	}, got)
	for _, root := range []string{"/", ""} {
		got, err = q.SummarizeDirectory(t.Context(), root)
		require.NoError(t, err)
		require.Equal(t, []gen.SummarizeDirectoryRow{
			{Category: column.Code, Files: 3, TotalSize: 15},
			{Category: column.Other, Files: 1, TotalSize: 7},
		}, got)
	}
	got, err = q.SummarizeDirectory(t.Context(), "/none")
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestCountFilesCountsBelowADirectoryAndTheRoot(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/1": 1, "/a/b/2": 2, "/ab/3": 3, "/a/b/c/": 0})
	got, err := q.CountFiles(t.Context(), "/a")
	require.NoError(t, err)
	require.Equal(t, gen.CountFilesRow{Files: 2, Directories: 2, TotalSize: 3}, got)
	got, err = q.CountFiles(t.Context(), "/")
	require.NoError(t, err)
	require.Equal(t, gen.CountFilesRow{Files: 3, Directories: 2, TotalSize: 6}, got)
	got, err = q.CountFiles(t.Context(), "/none")
	require.NoError(t, err)
	require.Zero(t, got)
}

func TestRenameFilesMoveFileRenameDirectoriesAndMoveDirectoryMoveASubtreeAndNothingElse(t *testing.T) {
	q := open(t)
	ids := plant(t, q, tree{"/r/a%b/1": 1, "/r/a%b/c/2": 2, "/r/a%bc/3": 3, "/r/axb/4": 4, "/r/new/": 0})
	n, err := q.RenameFiles(t.Context(), gen.RenameFilesParams{OldPath: "/r/a%b", NewPath: "/r/new/A.go"})
	require.NoError(t, err)
	require.EqualValues(t, 4, n)
	n, err = q.RenameDirectories(t.Context(), gen.RenameDirectoriesParams{OldPath: "/r/a%b", NewPath: "/r/new/A.go"})
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	into := ids["/r/new"]
	n, err = q.MoveDirectory(t.Context(), gen.MoveDirectoryParams{Path: "/r/new/A.go", ParentID: &into})
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	n, err = q.MoveFile(t.Context(), gen.MoveFileParams{Path: "/r/new/A.go", DirectoryID: into, Name: "A.go", NameLower: "a.go", Extension: "go"})
	require.NoError(t, err)
	require.EqualValues(t, 1, n)

	moved, err := q.GetFileByPath(t.Context(), "/r/new/A.go")
	require.NoError(t, err)
	require.Equal(t, into, moved.DirectoryID)
	require.NotNil(t, moved.FileTypeID)
	for _, path := range []string{"/r/new/A.go/1", "/r/new/A.go/c", "/r/new/A.go/c/2", "/r/a%bc/3", "/r/axb/4"} {
		_, err := q.GetFileByPath(t.Context(), path)
		require.NoError(t, err, path)
	}
	dir, err := q.GetDirectoryByPath(t.Context(), "/r/new/A.go/c")
	require.NoError(t, err)
	require.Equal(t, ids["/r/a%b/c"], dir.ID)
	_, err = q.RenameFiles(t.Context(), gen.RenameFilesParams{OldPath: "/r/axb", NewPath: "/r/new/A.go"})
	require.ErrorIs(t, err, repo.ErrDuplicate)
}

func TestMarkFileSeenAndDeleteUnseenFilesForgetWhatVanished(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/gone": 1, "/a/here": 1, "/ab/other": 1})
	n, err := q.MarkFileSeen(t.Context(), gen.MarkFileSeenParams{Path: "/a/here", SeenAt: later(time.Hour)})
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	n, err = q.DeleteUnseenFiles(t.Context(), gen.DeleteUnseenFilesParams{Directory: "/a", SeenBefore: later(time.Hour)})
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	left, err := q.SearchFilesByPrefix(t.Context(), gen.SearchFilesByPrefixParams{Count: 10})
	require.NoError(t, err)
	require.Equal(t, []string{"/a/here", "/ab/other"}, paths(left))
}

func TestDeleteFilesDeletesByID(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/a/1": 1, "/a/2": 2})
	f, err := q.GetFileByPath(t.Context(), "/a/1")
	require.NoError(t, err)
	n, err := q.DeleteFiles(t.Context(), []int64{f.ID, 99})
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	_, err = q.GetFile(t.Context(), f.ID)
	require.ErrorIs(t, err, repo.ErrNotFound)
}

func TestSetFolderSizesAndLargestFoldersSumUpAllLevels(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/r/a/1": 1, "/r/a/b/2": 2, "/r/a/b/c/4": 4, "/r/empty/": 0, "/r/ab/8": 8})
	sizes := func() map[string]int64 {
		folders, err := q.LargestFolders(t.Context(), 10)
		require.NoError(t, err)
		got := map[string]int64{}
		for i, f := range folders {
			got[f.Path] = *f.FolderSize
			if i > 0 {
				require.GreaterOrEqual(t, *folders[i-1].FolderSize, *f.FolderSize)
			}
		}
		return got
	}
	n, err := q.SetFolderSizes(t.Context(), "/r/a")
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.Equal(t, map[string]int64{"/r/a": 7, "/r/a/b": 6, "/r/a/b/c": 4}, sizes())
	n, err = q.SetFolderSizes(t.Context(), "/r")
	require.NoError(t, err)
	require.EqualValues(t, 2, n, "only what changed")
	require.Equal(t, map[string]int64{"/r/a": 7, "/r/a/b": 6, "/r/a/b/c": 4, "/r/empty": 0, "/r/ab": 8}, sizes())
	f, err := q.GetFileByPath(t.Context(), "/r/a/b/c/4")
	require.NoError(t, err)
	_, err = q.DeleteFiles(t.Context(), []int64{f.ID})
	require.NoError(t, err)
	n, err = q.SetFolderSizes(t.Context(), "/r")
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.Equal(t, map[string]int64{"/r/a": 3, "/r/a/b": 2, "/r/a/b/c": 0, "/r/empty": 0, "/r/ab": 8}, sizes())
}
