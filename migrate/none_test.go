package migrate_test

import (
	"io/fs"
	"os"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"github.com/sqlane/sqlane/migrate"
	"github.com/stretchr/testify/require"
)

func TestFilesWithoutAMigrationAreAnErrorThatSaysWhy(t *testing.T) {
	for _, c := range []struct {
		files fs.FS
		want  string
	}{
		{nil, "the files are nil"},
		{os.DirFS("absent"), "the root of the files cannot be read: open .: "},
		{os.DirFS("none_test.go"), "the root of the files cannot be read: "},
		{fstest.MapFS{}, "no file with a name like 00001_first.sql"},
		{fstest.MapFS{"first.sql": {}, "docs/a.md": {}}, "no file with a name like 00001_first.sql"},
		{fstest.MapFS{"schema/1_first.sql": {}}, `there is schema/1_first.sql; use fs.Sub(files, "schema")`},
	} {
		_, err := migrate.New(c.files)
		require.ErrorIs(t, err, goose.ErrNoMigrations)
		require.ErrorContains(t, err, c.want)
	}
	_, err := migrate.New(os.DirFS("absent"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}
