package powerfs

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const rootNode = fuse.FUSE_ROOT_ID

// Mounted is a disk that is mounted somewhere.
type Mounted struct {
	dir    string
	server *fuse.Server
}

// ErrNoMount is returned where the system does not let a disk be mounted.
var ErrNoMount = errors.New("FUSE cannot be used here, it takes root and /dev/fuse")

// Mount serves the disk in a directory, which is empty. It takes root, and
// /dev/fuse, but no helper program.
func Mount(dir string, d *Disk) (*Mounted, error) {
	syscall.ForkLock.RLock() // until keepFuse: no child is started meanwhile
	defer syscall.ForkLock.RUnlock()
	server, err := fuse.NewServer(&face{RawFileSystem: fuse.NewDefaultRawFileSystem(), disk: d}, dir, &fuse.MountOptions{
		Name: "powerfs", FsName: "powerfs", DirectMountStrict: true, DisableXAttrs: true, DisableReadDirPlus: true, AllowOther: true,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: mount on %s: %w", ErrNoMount, dir, err)
	}
	keepFuse()
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return nil, fmt.Errorf("%w: mount on %s: %w", ErrNoMount, dir, err)
	}
	return &Mounted{dir, server}, nil
}

// keepFuse keeps /dev/fuse, which the library opens, from children. One that
// works on the disk would have it, and when the server is killed the disk would
// not end, for the child would keep it, waiting in it for good.
func keepFuse() {
	open, _ := os.ReadDir("/proc/self/fd")
	for _, e := range open {
		if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); target == "/dev/fuse" {
			if fd, err := strconv.Atoi(e.Name()); err == nil {
				syscall.CloseOnExec(fd)
			}
		}
	}
}

// Unmount ends the service. Nobody may have a file open any more; if somebody
// has, the directory is free all the same, and the error says so.
func (m *Mounted) Unmount() error {
	err := m.server.Unmount()
	if err != nil {
		return errors.Join(fmt.Errorf("unmount %s: %w", m.dir, err), unix.Unmount(m.dir, unix.MNT_DETACH))
	}
	m.server.Wait()
	return nil
}

// face is what the kernel sees of a disk. The kernel caches nothing but -shm,
// which SQLite maps into memory, so each system call arrives here as it is.
type face struct {
	fuse.RawFileSystem
	disk *Disk
}

func (s *face) String() string { return "powerfs" }

func attributes(f *file, out *fuse.Attr) {
	out.Ino, out.Mode, out.Nlink = f.node, syscall.S_IFREG|f.mode, 1
	out.Size, out.Blocks, out.Blksize = uint64(len(f.live)), uint64(len(f.live)+sector-1)/sector, 4096
}

// entry tells the kernel of a file, which refers to it from then on.
func entry(f *file, out *fuse.EntryOut) fuse.Status {
	f.refs++
	out.NodeId = f.node
	attributes(f, &out.Attr)
	return fuse.OK
}

func openFlags(name string) uint32 {
	if strings.HasSuffix(name, "-shm") {
		return 0
	}
	return fuse.FOPEN_DIRECT_IO
}

// on runs an operation on a file that the kernel knows.
func (s *face) on(node uint64, op Op, do func(d *Disk, f *file) fuse.Status) fuse.Status {
	d := s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.inodes[node]
	if f == nil {
		return fuse.Status(syscall.ESTALE)
	}
	if errno := d.enter(op, f); errno != 0 {
		if op == Sync { // Linux takes them for written, and never tries again
			f.changes = nil
		}
		return fuse.Status(errno)
	}
	return do(d, f)
}

// at runs an operation on a name. f is nil if nothing has it.
func (s *face) at(name string, op Op, do func(d *Disk, f *file) fuse.Status) fuse.Status {
	d := s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return fuse.Status(d.enter(op, nil))
	}
	if errno := d.strike(op, name); errno != 0 {
		return fuse.Status(errno)
	}
	return do(d, d.names[name])
}

func (s *face) Lookup(_ <-chan struct{}, _ *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return s.at(name, Look, func(_ *Disk, f *file) fuse.Status {
		if f == nil {
			return fuse.ENOENT
		}
		return entry(f, out)
	})
}

func (s *face) Forget(node, n uint64) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if f := s.disk.inodes[node]; f != nil {
		s.disk.unref(f, n)
	}
}

func (s *face) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	if in.NodeId == rootNode {
		out.Ino, out.Mode, out.Nlink = rootNode, syscall.S_IFDIR|0o777, 2
		return fuse.OK
	}
	return s.on(in.NodeId, Look, func(_ *Disk, f *file) fuse.Status {
		attributes(f, &out.Attr)
		return fuse.OK
	})
}

func (s *face) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if in.NodeId == rootNode {
		return fuse.EPERM
	}
	op := Look
	size, resizes := in.GetSize()
	if resizes {
		op = Truncate
	}
	return s.on(in.NodeId, op, func(d *Disk, f *file) fuse.Status {
		if resizes {
			d.truncate(f, int64(size))
		}
		if mode, ok := in.GetMode(); ok { // taken for synced: no trial looks at it
			f.mode = mode
		}
		attributes(f, &out.Attr)
		return fuse.OK
	})
}

func (s *face) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return s.at(name, Create, func(d *Disk, f *file) fuse.Status {
		if f != nil {
			return fuse.Status(syscall.EEXIST)
		}
		f = d.create(name, in.Mode&0o777)
		f.refs++ // the handle
		out.OpenFlags = openFlags(name)
		return entry(f, &out.EntryOut)
	})
}

func (s *face) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return s.on(in.NodeId, Open, func(d *Disk, f *file) fuse.Status {
		if in.Flags&syscall.O_TRUNC != 0 {
			d.truncate(f, 0)
		}
		f.refs++
		out.OpenFlags = openFlags(d.nameOf(f))
		return fuse.OK
	})
}

func (s *face) Release(_ <-chan struct{}, in *fuse.ReleaseIn) { s.Forget(in.NodeId, 1) }

func (s *face) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n := 0
	status := s.on(in.NodeId, Read, func(_ *Disk, f *file) fuse.Status {
		if in.Offset < uint64(len(f.live)) {
			n = copy(buf, f.live[in.Offset:])
		}
		return fuse.OK
	})
	return fuse.ReadResultData(buf[:n]), status
}

func (s *face) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	return uint32(len(data)), s.on(in.NodeId, Write, func(d *Disk, f *file) fuse.Status {
		d.write(f, data, int64(in.Offset))
		return fuse.OK
	})
}

// Flush is for close, which syncs nothing.
func (s *face) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (s *face) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return s.on(in.NodeId, Sync, func(d *Disk, f *file) fuse.Status {
		d.sync(f)
		return fuse.OK
	})
}

func (s *face) FsyncDir(<-chan struct{}, *fuse.FsyncIn) fuse.Status {
	return s.at("", SyncDir, func(d *Disk, _ *file) fuse.Status {
		d.syncNames()
		return fuse.OK
	})
}

func (s *face) Unlink(_ <-chan struct{}, _ *fuse.InHeader, name string) fuse.Status {
	return s.at(name, Unlink, func(d *Disk, f *file) fuse.Status {
		if f == nil {
			return fuse.ENOENT
		}
		d.rename(name, "", f)
		return fuse.OK
	})
}

func (s *face) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	return s.at(from, Unlink, func(d *Disk, f *file) fuse.Status {
		switch {
		case f == nil:
			return fuse.ENOENT
		case in.Flags != 0:
			return fuse.EINVAL
		case from != to:
			d.rename(from, to, f)
		}
		return fuse.OK
	})
}

func (s *face) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.OK }

func (s *face) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return s.at("", Look, func(d *Disk, _ *file) fuse.Status {
		names := slices.Sorted(maps.Keys(d.names))
		for i := in.Offset; i < uint64(len(names)); i++ {
			f := d.names[names[i]]
			if !out.AddDirEntry(fuse.DirEntry{Name: names[i], Ino: f.node, Mode: syscall.S_IFREG | f.mode, Off: i + 1}) {
				break
			}
		}
		return fuse.OK
	})
}

func (s *face) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	out.Bsize, out.NameLen, out.Blocks, out.Bfree, out.Bavail = 4096, 255, 1<<20, 1<<20, 1<<20
	return fuse.OK
}
