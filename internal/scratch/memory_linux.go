package scratch

import (
	"os"
	"syscall"
)

// What Linux calls these: see statfs(2).
const (
	tmpfs  = 0x01021994
	noExec = 8
)

// memory is a directory in memory in which all tests have room, and may run what they
// put there; "" if there is none.
func memory() string {
	const dir, room = "/dev/shm", 1 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || fs.Type != tmpfs || fs.Flags&noExec != 0 || fs.Bavail*uint64(fs.Bsize) < room {
		return ""
	}
	probe, err := os.MkdirTemp(dir, "")
	if err != nil || os.Remove(probe) != nil {
		return ""
	}
	return dir
}
