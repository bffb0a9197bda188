package migrations_test

import (
	"database/sql"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/schema"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

func openFile(t *testing.T) (*sql.DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(1)")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, path
}

// dump is the schema as SQLite keeps it, goose's own table left out.
func dump(t *testing.T, db *sql.DB) map[string]string {
	t.Helper()
	return lines(t, db, `SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema WHERE tbl_name <> 'schema_version' AND name <> 'sqlite_sequence'`)
}

func lines(t *testing.T, db *sql.DB, query string) map[string]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	got := map[string]string{}
	for rows.Next() {
		var key, value string
		require.NoError(t, rows.Scan(&key, &value))
		got[key] = value
	}
	require.NoError(t, rows.Err())
	return got
}

// gooses is where Go keeps the goose that it has compiled.
var gooses = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "-C", "../tools", "tool", "-n", "goose").Output()
	return strings.TrimSpace(string(out)), err
})

func goose(t *testing.T, path string, command ...string) string {
	t.Helper()
	program, err := gooses()
	require.NoError(t, err)
	args := append([]string{"-dir", "../schema", "-table", schema.VersionTable, "sqlite3", path}, command...)
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

func TestUpDownAndUpAgainGiveTheSameSchema(t *testing.T) {
	db, _ := openFile(t)
	require.NoError(t, schema.Up(t.Context(), db))
	first := dump(t, db)
	require.Len(t, first, 26, "tables, indexes and views")
	files := lines(t, db, "SELECT extension, type_name FROM file_types")
	for {
		v, err := schema.Version(t.Context(), db)
		require.NoError(t, err)
		if v == 0 {
			break
		}
		require.NoError(t, schema.Down(t.Context(), db))
	}
	require.Empty(t, dump(t, db), "nothing is left behind")
	require.NoError(t, schema.Up(t.Context(), db))
	require.Equal(t, first, dump(t, db))
	require.Equal(t, files, lines(t, db, "SELECT extension, type_name FROM file_types"))
}

func TestRowsSurviveEveryStepUpAndDown(t *testing.T) {
	db, path := openFile(t)
	goose(t, path, "up-to", "1")
	for _, insert := range []string{
		"INSERT INTO directories (id, path) VALUES (1, '/a')",
		"INSERT INTO directories (id, path, parent_id, included, priority, permission_state) VALUES (2, '/a/b', 1, 0, 7, 'denied')",
		`INSERT INTO files (directory_id, path, name, name_lower, extension, is_directory, size, date_created, date_modified, indexed_at)
		 VALUES (1, '/a/b', 'b', 'b', '', 1, 0, 1, 2, 3), (2, '/a/b/X', 'X', 'x', '', 0, 42, 4, 5, 6)`,
		"INSERT INTO tabs (name, filter_def, position) VALUES ('mine', '{}', 9)",
		"INSERT INTO indexing_log (timestamp, operation, path, file_count, duration) VALUES (1, 'index', '/a', 2, 3)",
		"INSERT INTO permission_bookmarks (path, bookmark, created_at) VALUES ('/a', x'00ff', 1)",
	} {
		_, err := db.ExecContext(t.Context(), insert)
		require.NoError(t, err)
	}
	rows := func() map[string]string {
		got := map[string]string{}
		for _, query := range []string{
			"SELECT 'directory ' || path, concat_ws('|', id, parent_id, included, priority, recursive, permission_state) FROM directories",
			"SELECT 'file ' || path, concat_ws('|', id, directory_id, name, is_directory, size, date_created, date_modified, indexed_at, cloud_status) FROM files",
			"SELECT 'tab ' || name, concat_ws('|', filter_def, position, visible) FROM tabs",
			"SELECT 'log ' || id, concat_ws('|', timestamp, operation, path, file_count, duration) FROM indexing_log",
			"SELECT 'bookmark ' || path, hex(bookmark) FROM permission_bookmarks",
			"SELECT 'type ' || extension, type_name || category FROM file_types",
		} {
			for k, v := range lines(t, db, query) {
				got[k] = v
			}
		}
		return got
	}
	version1, schema1 := rows(), dump(t, db)
	require.NoError(t, schema.Up(t.Context(), db))
	require.Equal(t, version1, rows())
	_, err := db.ExecContext(t.Context(), "UPDATE files SET folder_size = 42 WHERE path = '/a/b'")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "UPDATE files SET folder_size = 42 WHERE path = '/a/b/X'")
	require.ErrorContains(t, err, "files_folder_size_of_directories", "a plain file has no folder size")
	require.NoError(t, schema.Down(t.Context(), db))
	require.Equal(t, version1, rows(), "all but the folder sizes survive")
	require.Equal(t, schema1, dump(t, db))
	require.NoError(t, schema.Up(t.Context(), db))
	require.Equal(t, version1, rows())
	require.NoError(t, schema.Validate(t.Context(), db))
}

func TestTheGooseCLIAndUpMakeTheSameSchema(t *testing.T) {
	byCLI, path := openFile(t)
	goose(t, path, "up")
	byUp, _ := openFile(t)
	require.NoError(t, schema.Up(t.Context(), byUp))
	require.Equal(t, dump(t, byUp), dump(t, byCLI))
	require.NoError(t, schema.Validate(t.Context(), byCLI))
	require.NoError(t, schema.Up(t.Context(), byCLI), "each goes on where the other stopped")
	require.NoError(t, schema.Down(t.Context(), byCLI))
	require.Contains(t, goose(t, path, "status"), "Pending")
	goose(t, path, "up")
	v, err := schema.Version(t.Context(), byCLI)
	require.NoError(t, err)
	require.EqualValues(t, 2, v)
}

func TestTheCommittedCodeIsWhatSqlcGenerates(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"schema", "queries"} {
		require.NoError(t, os.CopyFS(filepath.Join(root, name), os.DirFS(filepath.Join("..", name))))
	}
	config, err := os.ReadFile("../sqlc.yaml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "sqlc.yaml"), config, 0o644))
	cmd := exec.CommandContext(t.Context(), "go", "-C", "../tools", "tool", "sqlc", "generate", "-f", filepath.Join(root, "sqlc.yaml"))
	cmd.Env = append(os.Environ(), "GOGC=400") // a third of its time goes to collecting garbage
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, contents(t, "../gen"), contents(t, filepath.Join(root, "gen")), "run go generate ./...")
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = string(text)
		return err
	}))
	require.NotEmpty(t, files)
	return files
}

func TestConstraintsHaveNames(t *testing.T) {
	db, _ := openFile(t)
	require.NoError(t, schema.Up(t.Context(), db))
	for violation, name := range map[string]string{
		"INSERT INTO tabs (name, filter_def, position) VALUES ('x', '{', 0)":                                                                 "tabs_filter_json",
		"INSERT INTO directories (path, permission_state) VALUES ('/', 'perhaps')":                                                           "directories_permission_known",
		"INSERT INTO indexing_log (timestamp, operation, path, file_count, duration) VALUES (1, 'guess', '', 0, 0)":                          "indexing_log_operation_known",
		"INSERT INTO file_types (extension, type_name, category) VALUES ('.go', '', 'code')":                                                 "file_types_extension_form",
		"INSERT INTO directories (id, path, parent_id) VALUES (5, '/', 5)":                                                                   "directories_not_own_parent",
		"INSERT INTO files (directory_id, path, name, name_lower, date_created, date_modified, indexed_at) VALUES (1, 'a', 'a', 'a', 1,1,1)": "files_size_unless_cloud_only",
	} {
		_, err := db.ExecContext(t.Context(), violation)
		require.ErrorContains(t, err, name)
	}
	_, err := db.ExecContext(t.Context(), "INSERT INTO directories (path, included) VALUES ('/', 'yes')")
	require.ErrorContains(t, err, "INTEGER", "tables are STRICT")
}

func TestATypeThatIsTakenAwayLeavesItsFiles(t *testing.T) {
	db, _ := openFile(t)
	require.NoError(t, schema.Up(t.Context(), db))
	for _, step := range []string{
		"INSERT INTO directories (id, path) VALUES (1, '/a')",
		`INSERT INTO files (directory_id, path, name, name_lower, extension, file_type_id, size, date_created, date_modified, indexed_at)
		 SELECT 1, '/a/x.go', 'x.go', 'x.go', 'go', id, 1, 1, 1, 1 FROM file_types WHERE extension = 'go'`,
		"DELETE FROM file_types WHERE extension = 'go'",
	} {
		_, err := db.ExecContext(t.Context(), step)
		require.NoError(t, err)
	}
	require.Equal(t, map[string]string{"/a/x.go": "none"}, lines(t, db, "SELECT path, coalesce(file_type_id, 'none') FROM files"))
}
