package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/rounds"
	"github.com/stretchr/testify/require"
)

// The tree that is indexed is somebody else's here, and changes while it is read.

func TestLinksOutOfTheTreeAreEntriesAndNothingMore(t *testing.T) {
	b, root, outside := newBench(t), t.TempDir(), t.TempDir()
	put(t, filepath.Join(outside, "secret", "key"), 77_777) // longer than any link
	put(t, filepath.Join(root, "dir", "x"), 1)
	for name, target := range map[string]string{
		"to-file": filepath.Join(outside, "secret", "key"), "to-dir": outside, "to-root": "/", "up": "..", "further": "../../..", "loop": "loop", "self": ".", "back": "dir/back", "deep": filepath.Join("dir", "..", "..", filepath.Base(outside)),
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(root, name)))
		require.NoError(t, os.Symlink(target, filepath.Join(root, "dir", name)))
	}
	files, dirs, size, _ := walked(t, root)
	r := b.index(root)
	require.Equal(t, [3]int64{files, dirs, size}, [3]int64{r.Files, r.Directories, r.Bytes})
	requireWithin(t, b, root)
}

// requireWithin sees that nothing from elsewhere is in the index.
func requireWithin(t *testing.T, b bench, root string) {
	t.Helper()
	var all []fileJSON
	require.NoError(t, json.Unmarshal([]byte(b.ok("-json", "search", "-n", "10000", "")), &all))
	require.NotEmpty(t, all)
	for _, f := range all {
		require.True(t, strings.HasPrefix(f.Path, root+"/"), f.Path)
		require.NotContains(t, f.Path, "secret")
		require.NotEqual(t, int64(77_777), *f.Size, f.Path)
	}
}

func TestADirectoryThatBecameALinkIsNotFollowed(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	put(t, filepath.Join(outside, "below", "secret"), 77_777)
	below := filepath.Join(root, "dir", "below")
	put(t, filepath.Join(below, "x"), 1)
	info, err := os.Lstat(below)
	require.NoError(t, err)
	met := folder{path: below, info: info}
	found, err := entries(met)
	require.NoError(t, err)
	require.Len(t, found, 1)

	require.NoError(t, os.Rename(filepath.Join(root, "dir"), filepath.Join(root, "moved")))
	require.NoError(t, os.Symlink(outside, filepath.Join(root, "dir"))) // above it
	found, err = entries(met)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Empty(t, found)

	require.NoError(t, os.Remove(filepath.Join(root, "dir")))
	require.NoError(t, os.Mkdir(filepath.Join(root, "dir"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join(outside, "below"), below)) // in its place
	found, err = entries(met)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Empty(t, found)

	require.NoError(t, os.Remove(below))
	put(t, filepath.Join(below, "y"), 1) // another directory is not the one that was met
	_, err = entries(met)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// TestEntriesAreLookedUpInTheDirectoryThatWasOpened: by their paths they might
// be others by then.
func TestEntriesAreLookedUpInTheDirectoryThatWasOpened(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	put(t, filepath.Join(root, "dir", "x"), 1)
	put(t, filepath.Join(outside, "x"), 77_777)
	dir := filepath.Join(root, "dir")
	info, err := os.Lstat(dir)
	require.NoError(t, err)
	found, err := entries(folder{path: dir, info: info})
	require.NoError(t, err)
	require.NoError(t, os.Rename(dir, filepath.Join(root, "moved")))
	require.NoError(t, os.Symlink(outside, dir))
	x, err := found[0].Info()
	require.NoError(t, err)
	require.EqualValues(t, 1, x.Size())
}

func TestATreeThatIsSwappedForLinksMeanwhileIsNeverLeft(t *testing.T) {
	b, root, outside := newBench(t), t.TempDir(), t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		put(t, filepath.Join(outside, "below", "secret-"+name), 77_777)
		put(t, filepath.Join(root, "dir", "below", name), 1)
	}
	put(t, filepath.Join(root, "stays"), 1)
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		dir, aside := filepath.Join(root, "dir"), filepath.Join(root, "aside")
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			for _, step := range []func() error{
				func() error { return os.Rename(dir, aside) }, func() error { return os.Symlink(outside, dir) },
				func() error { return os.Remove(dir) }, func() error { return os.Rename(aside, dir) },
			} {
				if err := step(); err != nil {
					stopped <- err
					return
				}
			}
		}
	}()
	for range rounds.Of(3, 10, 20) {
		b.index(root)
		requireWithin(t, b, root)
	}
	close(stop)
	require.NoError(t, <-stopped)
	b.index(root)
	files, dirs, size, _ := walked(t, root)
	r := b.index(root)
	require.Equal(t, [3]int64{files, dirs, size}, [3]int64{r.Files, r.Directories, r.Bytes})
}
