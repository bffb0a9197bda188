//go:build unix

package pool

import (
	"io/fs"
	"os"
	"syscall"
)

// sameFile is an error if the name does not lead to that file. os.Stat and
// os.SameFile would do, but every write transaction asks for three files, and they
// allocate.
func sameFile(name string, then os.FileInfo) error {
	var now syscall.Stat_t
	err := syscall.Stat(name, &now)
	for err == syscall.EINTR {
		err = syscall.Stat(name, &now)
	}
	if err != nil {
		return &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	if was := then.Sys().(*syscall.Stat_t); now.Dev != was.Dev || now.Ino != was.Ino {
		return errReplaced
	}
	return nil
}
