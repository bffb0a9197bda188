package powerfs_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sqlane/sqlane/torture/powerfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mounted serves a disk, or ends the test where that cannot be: the table of the
// torture says so too.
func mounted(t *testing.T, image powerfs.Image) (dir string, disk *powerfs.Disk) {
	t.Helper()
	dir, disk = t.TempDir(), powerfs.NewDisk(image)
	mount, err := powerfs.Mount(dir, disk)
	if errors.Is(err, powerfs.ErrNoMount) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, mount.Unmount()) })
	return dir, disk
}

// after is what some cuts of the same disk leave.
func after(disk *powerfs.Disk, cuts int) (images []powerfs.Image) {
	for seed := range uint64(cuts) {
		images = append(images, disk.Cut(rand.New(rand.NewPCG(seed, 1))))
	}
	return images
}

func create(t *testing.T, dir, name string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	require.NoError(t, err)
	return f
}

func syncDir(t *testing.T, dir string) {
	t.Helper()
	d, err := os.Open(dir)
	require.NoError(t, err)
	require.NoError(t, d.Sync())
	require.NoError(t, d.Close())
}

func TestItReadsBackWhatWasWritten(t *testing.T) {
	dir, disk := mounted(t, powerfs.Image{"old": []byte("there before")})
	content, err := os.ReadFile(filepath.Join(dir, "old"))
	require.NoError(t, err)
	require.Equal(t, "there before", string(content))

	f := create(t, dir, "new")
	big := bytes.Repeat([]byte("0123456789"), 100_000)
	_, err = f.WriteAt(big, 5)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(500_000))
	got := make([]byte, 500_000)
	n, err := f.ReadAt(got, 0)
	require.NoError(t, err)
	require.Equal(t, 500_000, n)
	require.Equal(t, append(make([]byte, 5), big[:499_995]...), got)
	require.NoError(t, f.Close())

	require.NoError(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "old")))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.NoError(t, os.Remove(filepath.Join(dir, "old")))
	require.NoFileExists(t, filepath.Join(dir, "old"))
	require.Empty(t, disk.Live())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "third"), []byte("x"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "third"), []byte("y"), 0o600))
	require.Equal(t, powerfs.Image{"third": []byte("y")}, disk.Live())
}

// A file that was unlinked while it was open is there until it is closed.
func TestAnUnlinkedFileLivesUntilItIsClosed(t *testing.T) {
	dir, _ := mounted(t, nil)
	f := create(t, dir, "f")
	require.NoError(t, os.Remove(f.Name()))
	_, err := f.WriteString("still")
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = f.ReadAt(got, 0)
	require.NoError(t, err)
	require.Equal(t, "still", string(got))
	require.NoError(t, f.Close())
}

func TestWhatWasSyncedSurvivesEveryCut(t *testing.T) {
	dir, disk := mounted(t, nil)
	f := create(t, dir, "f")
	content := bytes.Repeat([]byte("synced "), 1000)
	_, err := f.Write(content)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	syncDir(t, dir)
	_, err = f.WriteAt([]byte("later"), 10_000) // elsewhere in the file
	require.NoError(t, err)
	for _, image := range after(disk, 1000) {
		require.GreaterOrEqual(t, len(image["f"]), len(content))
		require.Equal(t, content, image["f"][:len(content)])
	}
	disk.Off()
	require.NoError(t, f.Close())
}

// acknowledge is a program that keeps a log of what it has acknowledged: the
// planted mistakes are what it forgets to sync.
func acknowledge(t *testing.T, dir string, n int, syncs, syncsDir bool) {
	f := create(t, dir, "log")
	for i := range n {
		_, err := f.WriteAt(binary.BigEndian.AppendUint64(nil, uint64(i+1)), int64(i)*8)
		require.NoError(t, err)
		if syncs {
			require.NoError(t, f.Sync())
		}
		if syncsDir && i == 0 {
			syncDir(t, dir)
		}
	}
	require.NoError(t, f.Close())
}

func TestAProgramThatForgetsToSyncIsSeenToLose(t *testing.T) {
	const promised = 300
	for _, program := range []struct{ syncs, syncsDir, loses bool }{
		{false, false, true}, {false, true, true}, {true, false, true}, {true, true, false},
	} {
		t.Run(fmt.Sprintf("%+v", program), func(t *testing.T) {
			dir, disk := mounted(t, nil)
			acknowledge(t, dir, promised, program.syncs, program.syncsDir)
			lost, cuts := 0, 200
			for _, image := range after(disk, cuts) {
				for i := range promised {
					entry := make([]byte, 8)
					if at := i * 8; at+8 <= len(image["log"]) {
						copy(entry, image["log"][at:])
					}
					if binary.BigEndian.Uint64(entry) != uint64(i+1) {
						lost++
						break
					}
				}
			}
			disk.Off()
			if program.loses {
				require.Greater(t, lost, cuts/10)
				require.Less(t, lost, cuts, "sometimes the disk was quick enough")
			} else {
				require.Zero(t, lost)
			}
		})
	}
}

func TestACutTearsWritesAndReordersThem(t *testing.T) {
	const sector = 512
	page := bytes.Repeat([]byte{1}, 8*sector)
	dir, disk := mounted(t, powerfs.Image{"f": make([]byte, 3*len(page))})
	f, err := os.OpenFile(filepath.Join(dir, "f"), os.O_RDWR, 0)
	require.NoError(t, err)
	for i := range 3 {
		_, err = f.WriteAt(page, int64(i*len(page)))
		require.NoError(t, err)
	}
	var torn, reordered, none, all, half int
	for _, image := range after(disk, 1000) {
		whole := make([]bool, 3)
		written := bytes.Count(image["f"], []byte{1})
		for i := range whole {
			n := bytes.Count(image["f"][i*len(page):(i+1)*len(page)], []byte{1})
			require.Zero(t, n%sector, "sectors are written as a whole")
			whole[i] = n == len(page)
			if n > 0 && n < len(page) {
				torn++
			}
		}
		switch {
		case written == 0:
			none++
		case written == 3*len(page):
			all++
		case !whole[0] && whole[2]:
			reordered++
		case whole[0] && !whole[1] && !whole[2]:
			half++
		}
	}
	for _, n := range []int{torn, reordered, none, all, half} {
		require.Greater(t, n, 20)
	}
	disk.Off()
	require.NoError(t, f.Close())
}

func TestATruncationOrAnUnlinkingMayBeUndoneUntilItIsSynced(t *testing.T) {
	was := bytes.Repeat([]byte("x"), 2000)
	for _, synced := range []bool{false, true} {
		dir, disk := mounted(t, powerfs.Image{"cut": was, "gone": was, "from": was})
		f, err := os.OpenFile(filepath.Join(dir, "cut"), os.O_RDWR, 0)
		require.NoError(t, err)
		require.NoError(t, f.Truncate(7))
		require.NoError(t, os.Remove(filepath.Join(dir, "gone")))
		require.NoError(t, os.Rename(filepath.Join(dir, "from"), filepath.Join(dir, "to")))
		if synced {
			require.NoError(t, f.Sync())
			syncDir(t, dir)
		}
		undone := map[string]int{}
		for _, image := range after(disk, 300) {
			if len(image["cut"]) != 7 {
				require.Equal(t, was, image["cut"])
				undone["cut"]++
			}
			if image["gone"] != nil {
				require.Equal(t, was, image["gone"])
				undone["gone"]++
			}
			require.True(t, (image["from"] == nil) != (image["to"] == nil), "a name of the file is always there, and one alone")
			if image["from"] != nil {
				undone["from"]++
			}
		}
		if synced {
			require.Empty(t, undone)
		} else {
			for _, name := range []string{"cut", "gone", "from"} {
				require.Greater(t, undone[name], 30, name)
				require.Less(t, undone[name], 270, name)
			}
		}
		disk.Off()
		require.NoError(t, f.Close())
	}
}

func TestTheSameSeedCutsTheSame(t *testing.T) {
	dir, disk := mounted(t, nil)
	acknowledge(t, dir, 100, false, false)
	require.Equal(t, after(disk, 50), after(disk, 50))
	disk.Off()
}

func TestFaultsStrikeWhomTheyAreMeantFor(t *testing.T) {
	dir, disk := mounted(t, nil)
	f, g := create(t, dir, "f-wal"), create(t, dir, "g")
	fault := &powerfs.Fault{Op: powerfs.Write, Suffix: "-wal", After: 2, Times: 3, Errno: syscall.ENOSPC}
	disk.SetFaults(fault, &powerfs.Fault{Op: powerfs.Sync, Errno: syscall.EIO})
	var failed []int
	for i := range 8 {
		if _, err := f.WriteAt([]byte{byte(i + 1)}, int64(i)); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			failed = append(failed, i)
		}
		_, err := g.Write([]byte("x"))
		require.NoError(t, err)
	}
	require.Equal(t, []int{2, 3, 4}, failed)
	require.ErrorIs(t, f.Sync(), syscall.EIO)
	require.Equal(t, 4, disk.Struck())
	disk.SetFaults()
	require.NoError(t, f.Sync())
	require.Equal(t, []byte{1, 2, 0, 0, 0, 6, 7, 8}, disk.Live()["f-wal"])
	require.NoError(t, f.Close())
	require.NoError(t, g.Close())
}

// Linux takes pages whose writing has failed for clean: a second fsync succeeds,
// and they are lost.
func TestWhatAFailedSyncLeftIsLostUnlessItIsWrittenAgain(t *testing.T) {
	dir, disk := mounted(t, powerfs.Image{"f": []byte("old")})
	f, err := os.OpenFile(filepath.Join(dir, "f"), os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("new"), 0)
	require.NoError(t, err)
	disk.SetFaults(&powerfs.Fault{Op: powerfs.Sync, Times: 1, Errno: syscall.EIO})
	require.Error(t, f.Sync())
	require.NoError(t, f.Sync())
	require.Equal(t, "new", string(disk.Live()["f"]))
	_, err = f.WriteAt([]byte("N"), 0)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	for _, image := range after(disk, 20) {
		require.Equal(t, "Nld", string(image["f"]))
	}
	disk.Off()
	require.NoError(t, f.Close())
}

func TestNothingSucceedsAfterACut(t *testing.T) {
	dir, disk := mounted(t, nil)
	f := create(t, dir, "f")
	disk.Cut(rand.New(rand.NewPCG(1, 1)))
	done := make(chan error)
	go func() {
		_, err := f.WriteString("x")
		done <- err
	}()
	disk.Off()
	require.ErrorIs(t, <-done, syscall.EIO)
	require.NoError(t, f.Close())
}

func TestUnmountingFreesTheDirectoryThoughAFileIsOpen(t *testing.T) {
	dir := t.TempDir()
	mount, err := powerfs.Mount(dir, powerfs.NewDisk(nil))
	if errors.Is(err, powerfs.ErrNoMount) {
		t.Skip(err)
	}
	require.NoError(t, err)
	f := create(t, dir, "f")
	require.ErrorContains(t, mount.Unmount(), dir)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.NoError(t, f.Close()) // the last one: now the service ends
}

func TestAChildDoesNotGetTheDisksEndOfFUSE(t *testing.T) {
	mounted(t, nil)
	out, err := exec.CommandContext(t.Context(), "ls", "-l", "/proc/self/fd/").CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(out), "->")
	require.NotContains(t, string(out), "/dev/fuse", "it would keep the disk alive when the server is gone")
}
