package queries_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/repo"
	"github.com/stretchr/testify/require"
)

func TestUpsertDirectoryKeepsTheRule(t *testing.T) {
	q := open(t)
	d, err := q.UpsertDirectory(t.Context(), gen.UpsertDirectoryParams{Path: "/a"})
	require.NoError(t, err)
	require.Equal(t, gen.Directory{ID: d.ID, Path: "/a", Included: true, Recursive: true, PermissionState: column.PermissionUnknown}, d)
	n, err := q.SetDirectoryRule(t.Context(), gen.SetDirectoryRuleParams{ID: d.ID, Priority: 3})
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	again, err := q.UpsertDirectory(t.Context(), gen.UpsertDirectoryParams{Path: "/a"})
	require.NoError(t, err)
	d.Included, d.Recursive, d.Priority = false, false, 3
	require.Equal(t, d, again)
	_, err = q.UpsertDirectory(t.Context(), gen.UpsertDirectoryParams{Path: ""})
	require.ErrorIs(t, err, repo.ErrCheck)
}

func TestUpsertDirectoriesDoesWhatUpsertDirectoryDoesOrNothing(t *testing.T) {
	q := open(t)
	ids := plant(t, q, tree{"/a/known/": 0, "/b/": 0})
	_, err := q.SetDirectoryRule(t.Context(), gen.SetDirectoryRuleParams{ID: ids["/a/known"], Priority: 3})
	require.NoError(t, err)
	list := func(paths map[string]any) string {
		all := []map[string]any{}
		for path, parent := range paths {
			all = append(all, map[string]any{"path": path, "parent_id": parent})
		}
		text, err := json.Marshal(all)
		require.NoError(t, err)
		return string(text)
	}
	odd := "/a/\"\\\n\u2028\U0001F600"
	n, err := q.UpsertDirectories(t.Context(), list(map[string]any{odd: ids["/a"], "/a/known": nil, "/b": nil, "/c": nil}))
	require.NoError(t, err)
	require.EqualValues(t, 4, n)
	a := ids["/a"]
	known, err := q.GetDirectoryByPath(t.Context(), "/a/known")
	require.NoError(t, err)
	require.Equal(t, gen.Directory{ID: ids["/a/known"], Path: "/a/known", ParentID: &a, Priority: 3, PermissionState: column.PermissionUnknown}, known, "the rule stays, and the parent if none is given")
	made, err := q.GetDirectoryByPath(t.Context(), odd)
	require.NoError(t, err)
	require.Equal(t, gen.Directory{ID: made.ID, Path: odd, ParentID: &a, Included: true, Recursive: true, PermissionState: column.PermissionUnknown}, made)
	top, err := q.GetDirectoryByPath(t.Context(), "/c")
	require.NoError(t, err)
	require.Nil(t, top.ParentID)

	_, err = q.UpsertDirectories(t.Context(), list(map[string]any{"/a/known": ids["/b"], "/new": nil, "": nil}))
	require.ErrorIs(t, err, repo.ErrCheck)
	require.ErrorContains(t, err, "directories_path_not_empty")
	_, err = q.UpsertDirectories(t.Context(), list(map[string]any{"/a/known": ids["/b"], "/new": 99}))
	require.ErrorIs(t, err, repo.ErrForeignKey)
	_, err = q.GetDirectoryByPath(t.Context(), "/new")
	require.ErrorIs(t, err, repo.ErrNotFound)
	still, err := q.GetDirectoryByPath(t.Context(), "/a/known")
	require.NoError(t, err)
	require.Equal(t, known, still)
	_, err = q.UpsertDirectories(t.Context(), list(map[string]any{"/a/known": ids["/b"]}))
	require.NoError(t, err)
	moved, err := q.GetDirectoryByPath(t.Context(), "/a/known")
	require.NoError(t, err)
	require.Equal(t, ids["/b"], *moved.ParentID)
	n, err = q.UpsertDirectories(t.Context(), "[]")
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestGetDirectoryAndGetDirectoryByPathFindTheSameRow(t *testing.T) {
	q := open(t)
	id := plant(t, q, tree{"/a/b/": 0})["/a/b"]
	byID, err := q.GetDirectory(t.Context(), id)
	require.NoError(t, err)
	byPath, err := q.GetDirectoryByPath(t.Context(), "/a/b")
	require.NoError(t, err)
	require.Equal(t, byID, byPath)
	_, err = q.GetDirectory(t.Context(), 99)
	require.ErrorIs(t, err, repo.ErrNotFound)
}

func TestListSubdirectoriesAndListAncestorsWalkDownAndUp(t *testing.T) {
	q := open(t)
	ids := plant(t, q, tree{"/a/b/c/": 0, "/a/d/": 0, "/x/": 0})
	children, err := q.ListSubdirectories(t.Context(), ids["/a"])
	require.NoError(t, err)
	require.Len(t, children, 2)
	require.Equal(t, "/a/b", children[0].Path)
	require.Equal(t, "/a/d", children[1].Path)
	up, err := q.ListAncestors(t.Context(), ids["/a/b/c"])
	require.NoError(t, err)
	require.Len(t, up, 2)
	require.Equal(t, "/a/b", up[0].Directory.Path)
	require.Equal(t, "/a", up[1].Directory.Path)
}

func TestSetDirectoryRuleDecidesListIncludedDirectories(t *testing.T) {
	q := open(t)
	ids := plant(t, q, tree{"/a/": 0, "/b/": 0, "/c/": 0})
	_, err := q.SetDirectoryRule(t.Context(), gen.SetDirectoryRuleParams{ID: ids["/b"], Included: false})
	require.NoError(t, err)
	_, err = q.SetDirectoryRule(t.Context(), gen.SetDirectoryRuleParams{ID: ids["/c"], Included: true, Priority: 5})
	require.NoError(t, err)
	got, err := q.ListIncludedDirectories(t.Context())
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, "/c", got[0].Path)
	require.Equal(t, "/a", got[1].Path)
}

func TestSetDirectoryPermissionTakesKnownStatesAlone(t *testing.T) {
	q := open(t)
	id := plant(t, q, tree{"/a/": 0})["/a"]
	n, err := q.SetDirectoryPermission(t.Context(), gen.SetDirectoryPermissionParams{ID: id, PermissionState: column.PermissionDenied})
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	d, err := q.GetDirectory(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, column.PermissionDenied, d.PermissionState)
	_, err = q.SetDirectoryPermission(t.Context(), gen.SetDirectoryPermissionParams{ID: id, PermissionState: "maybe"})
	require.ErrorIs(t, err, repo.ErrCheck)
}

func TestDeleteDirectoriesTakesAllBelowAlong(t *testing.T) {
	q := open(t)
	plant(t, q, tree{"/r/a/b/1": 1, "/r/ab/2": 2})
	n, err := q.DeleteDirectories(t.Context(), "/r/a")
	require.NoError(t, err)
	require.Positive(t, n)
	_, err = q.GetDirectoryByPath(t.Context(), "/r/a/b")
	require.ErrorIs(t, err, repo.ErrNotFound)
	_, err = q.GetFileByPath(t.Context(), "/r/a/b/1")
	require.ErrorIs(t, err, repo.ErrNotFound, "a deleted directory takes its files with it")
	_, err = q.GetFileByPath(t.Context(), "/r/ab/2")
	require.NoError(t, err)
	_, err = q.GetFileByPath(t.Context(), "/r/a")
	require.NoError(t, err, "its entry belongs to the parent")
}

func TestUpsertFileTypeDecidesGetFileTypeByExtension(t *testing.T) {
	q := open(t)
	made, err := q.UpsertFileType(t.Context(), gen.UpsertFileTypeParams{Extension: "zig", TypeName: "Zig", Category: column.Code})
	require.NoError(t, err)
	again, err := q.UpsertFileType(t.Context(), gen.UpsertFileTypeParams{Extension: "zig", TypeName: "Zig source", Category: column.Code})
	require.NoError(t, err)
	require.Equal(t, made.ID, again.ID)
	got, err := q.GetFileTypeByExtension(t.Context(), "zig")
	require.NoError(t, err)
	require.Equal(t, again, got)
	for _, bad := range []string{"", ".go", "GO"} {
		_, err = q.UpsertFileType(t.Context(), gen.UpsertFileTypeParams{Extension: bad, Category: column.Code})
		require.ErrorIs(t, err, repo.ErrCheck)
	}
}

func TestListFileTypesByCategoryIsAPartOfListFileTypes(t *testing.T) {
	q := open(t)
	all, err := q.ListFileTypes(t.Context())
	require.NoError(t, err)
	images, err := q.ListFileTypesByCategory(t.Context(), column.Image)
	require.NoError(t, err)
	require.NotEmpty(t, images)
	require.Subset(t, all, images)
	require.Greater(t, len(all), len(images))
	require.Equal(t, "gif", images[0].Extension)
}

func tabNames(t *testing.T, q gen.Querier) (names []string) {
	tabs, err := q.ListTabs(t.Context())
	require.NoError(t, err)
	for _, tab := range tabs {
		names = append(names, tab.Name)
	}
	return names
}

func TestCreateTabAndListTabsKeepTheOrder(t *testing.T) {
	q := open(t)
	before := tabNames(t, q)
	tab, err := q.CreateTab(t.Context(), gen.CreateTabParams{Name: "Mine", FilterDef: `{"a": 1}`})
	require.NoError(t, err)
	require.True(t, tab.Visible)
	tabs, err := q.ListTabs(t.Context())
	require.NoError(t, err)
	require.Equal(t, tab, tabs[len(before)])
	_, err = q.CreateTab(t.Context(), gen.CreateTabParams{Name: "Mine", FilterDef: "{}"})
	require.ErrorIs(t, err, repo.ErrDuplicate)
	_, err = q.CreateTab(t.Context(), gen.CreateTabParams{Name: "Bad", FilterDef: "{"})
	require.ErrorIs(t, err, repo.ErrCheck)
}

func TestMoveTabPutsTheOthersAround(t *testing.T) {
	q := open(t)
	tabs, err := q.ListTabs(t.Context())
	require.NoError(t, err)
	names := tabNames(t, q)
	require.Equal(t, []string{"All", "Documents", "Images", "Audio", "Video", "Code", "Archives"}, names)
	for _, c := range []struct {
		position int64
		want     []string
	}{
		{0, []string{"Images", "All", "Documents", "Audio", "Video", "Code", "Archives"}},
		{3, []string{"All", "Documents", "Audio", "Images", "Video", "Code", "Archives"}},
		{99, []string{"All", "Documents", "Audio", "Video", "Code", "Archives", "Images"}},
		{-1, []string{"Images", "All", "Documents", "Audio", "Video", "Code", "Archives"}},
		{2, names},
	} {
		_, err := q.MoveTab(t.Context(), gen.MoveTabParams{ID: tabs[2].ID, Position: c.position})
		require.NoError(t, err)
		require.Equal(t, c.want, tabNames(t, q), "to %d", c.position)
	}
	n, err := q.MoveTab(t.Context(), gen.MoveTabParams{ID: 99})
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestSetTabFilterSetTabVisibleAndDeleteTab(t *testing.T) {
	q := open(t)
	tabs, err := q.ListTabs(t.Context())
	require.NoError(t, err)
	id := tabs[0].ID
	_, err = q.SetTabFilter(t.Context(), gen.SetTabFilterParams{ID: id, FilterDef: `[]`})
	require.NoError(t, err)
	_, err = q.SetTabFilter(t.Context(), gen.SetTabFilterParams{ID: id, FilterDef: `nonsense`})
	require.ErrorIs(t, err, repo.ErrCheck)
	_, err = q.SetTabVisible(t.Context(), gen.SetTabVisibleParams{ID: id, Visible: false})
	require.NoError(t, err)
	tabs, err = q.ListTabs(t.Context())
	require.NoError(t, err)
	require.Equal(t, gen.Tab{ID: id, Name: "All", FilterDef: "[]"}, tabs[0])
	n, err := q.DeleteTab(t.Context(), id)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.NotContains(t, tabNames(t, q), "All")
}

func TestAppendLogRecentLogLastLogAndPruneLog(t *testing.T) {
	q := open(t)
	var runs []gen.IndexingLog
	for i, op := range []column.Operation{column.Indexed, column.Cancelled, column.Indexed, column.Failed} {
		run, err := q.AppendLog(t.Context(), gen.AppendLogParams{
			Timestamp: later(time.Duration(i) * time.Hour), Operation: op, Path: "/a", FileCount: int64(i), Duration: time.Second,
		})
		require.NoError(t, err)
		require.Equal(t, time.Second, run.Duration)
		runs = append(runs, run)
	}
	recent, err := q.RecentLog(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, []gen.IndexingLog{runs[3], runs[2]}, recent)
	last, err := q.LastLog(t.Context(), column.Indexed)
	require.NoError(t, err)
	require.Equal(t, runs[2], last)
	n, err := q.PruneLog(t.Context(), later(3*time.Hour))
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	_, err = q.LastLog(t.Context(), column.Indexed)
	require.ErrorIs(t, err, repo.ErrNotFound)
	_, err = q.AppendLog(t.Context(), gen.AppendLogParams{Timestamp: day, Operation: "guess", Path: "/"})
	require.ErrorIs(t, err, repo.ErrCheck)
}

func TestPutBookmarkGetBookmarkListBookmarksAndDeleteBookmark(t *testing.T) {
	q := open(t)
	old, err := q.PutBookmark(t.Context(), gen.PutBookmarkParams{Path: "/b", Bookmark: []byte{0, 1, 255}, CreatedAt: day})
	require.NoError(t, err)
	mark, err := q.PutBookmark(t.Context(), gen.PutBookmarkParams{Path: "/b", Bookmark: []byte{2}, CreatedAt: later(time.Hour)})
	require.NoError(t, err)
	require.Equal(t, old.ID, mark.ID)
	other, err := q.PutBookmark(t.Context(), gen.PutBookmarkParams{Path: "/a", Bookmark: []byte{3}, CreatedAt: day})
	require.NoError(t, err)
	got, err := q.GetBookmark(t.Context(), "/b")
	require.NoError(t, err)
	require.Equal(t, mark, got)
	list, err := q.ListBookmarks(t.Context())
	require.NoError(t, err)
	require.Equal(t, []gen.PermissionBookmark{other, mark}, list)
	n, err := q.DeleteBookmark(t.Context(), "/b")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	_, err = q.GetBookmark(t.Context(), "/b")
	require.ErrorIs(t, err, repo.ErrNotFound)
}
