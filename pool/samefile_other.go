//go:build !unix

package pool

import "os"

// sameFile is an error if the name does not lead to that file.
func sameFile(name string, then os.FileInfo) error {
	now, err := os.Stat(name)
	if err == nil && !os.SameFile(then, now) {
		err = errReplaced
	}
	return err
}
