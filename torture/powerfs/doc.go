// Package powerfs is a file system whose power can be cut: it then forgets a
// random part of what was not synced. It serves one flat directory from memory,
// through FUSE, to programs that know nothing of it.
//
//	disk := powerfs.NewDisk(image)
//	mount, err := powerfs.Mount(dir, disk)
//	... a program works in dir ...
//	image = disk.Cut(rng) // from here on every operation hangs
//	... the program is killed ...
//	disk.Off()            // what hangs fails
//	err = mount.Unmount()
//
// # What a cut may take
//
// Everything since the last fsync of the file, in any combination of sectors of
// 512 bytes: a later write may survive an earlier one, and of one write some
// sectors may survive and others not. A file may have grown while the data that
// made it grow are missing; zeros or rubbish are in their place. A truncation
// may be undone. A file's name, and the end of a name, are safe only once the
// directory was synced: fsync of a file says nothing about its name. (Most file
// systems promise more; POSIX does not.)
//
// # What a cut never takes
//
// What was synced, and the bytes beside those that were written: a sector that
// is written in part keeps its rest, as SQLite assumes by default
// (https://www.sqlite.org/psow.html). Nor does the disk lie about fsync.
package powerfs
