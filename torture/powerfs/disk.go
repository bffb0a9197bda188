package powerfs

import (
	"maps"
	"slices"
	"sync"
	"syscall"
)

// Disk is a directory of files, and remembers of each what is on the platter
// and what is not yet.
type Disk struct {
	mu       sync.Mutex // guards all below, and the files
	names    map[string]*file
	inodes   map[uint64]*file
	lastNode uint64
	synced   map[string]*file // the names on the platter
	renames  []rename         // what happened to names since, in order
	order    int              // number of the last change to anything
	faults   []*Fault

	cut bool
	off chan struct{} // closed when what hangs since the cut may fail
}

// file is an inode.
type file struct {
	node    uint64
	mode    uint32
	refs    uint64 // names, open handles and what the kernel knows of it
	live    []byte // what programs see
	platter []byte
	changes []change // what live is ahead by, in order
}

// change is a write, or a truncation if data is nil.
type change struct {
	order int
	at    int64 // the offset, or the new size
	data  []byte
}

// rename is a change of names: from is gone, and to leads to the file. A
// creation has no from, an unlinking no to.
type rename struct {
	order    int
	from, to string
	file     *file
}

// Image is the files on a disk.
type Image map[string][]byte

// NewDisk makes a disk on which the image is safe.
func NewDisk(image Image) *Disk {
	d := &Disk{names: make(map[string]*file), inodes: make(map[uint64]*file), lastNode: rootNode, off: make(chan struct{})}
	for name, content := range image {
		f := d.newFile(0o600)
		f.refs, f.live, f.platter = 1, slices.Clone(content), slices.Clone(content)
		d.names[name] = f
	}
	d.synced = maps.Clone(d.names)
	return d
}

func (d *Disk) newFile(mode uint32) *file {
	d.lastNode++
	f := &file{node: d.lastNode, mode: mode}
	d.inodes[f.node] = f
	return f
}

// unref forgets a file that nobody can reach any more. If its unlinking is not
// synced the names on the platter still lead to it.
func (d *Disk) unref(f *file, n uint64) {
	if f.refs -= min(n, f.refs); f.refs == 0 {
		delete(d.inodes, f.node)
	}
}

// enter begins an operation: it hangs after a cut, and fails if a fault says so.
// The caller holds mu.
func (d *Disk) enter(op Op, f *file) syscall.Errno {
	if d.cut {
		d.mu.Unlock()
		<-d.off
		d.mu.Lock()
		return syscall.EIO
	}
	return d.strike(op, d.nameOf(f))
}

func (d *Disk) nameOf(f *file) string {
	for name, at := range d.names {
		if at == f {
			return name
		}
	}
	return ""
}

func (d *Disk) create(name string, mode uint32) *file {
	f := d.newFile(mode)
	d.rename("", name, f)
	return f
}

// rename takes the name from away and has the name to lead to the file.
func (d *Disk) rename(from, to string, f *file) {
	d.order++
	d.renames = append(d.renames, rename{d.order, from, to, f})
	if from != "" {
		delete(d.names, from)
		d.unref(f, 1)
	}
	if to != "" {
		if old := d.names[to]; old != nil {
			d.unref(old, 1)
		}
		d.names[to] = f
		f.refs++
	}
}

func (d *Disk) write(f *file, data []byte, at int64) {
	d.order++
	c := change{d.order, at, slices.Clone(data)}
	f.changes = append(f.changes, c)
	f.live = c.on(f.live)
}

func (d *Disk) truncate(f *file, size int64) {
	d.order++
	c := change{d.order, size, nil}
	f.changes = append(f.changes, c)
	f.live = c.on(f.live)
}

func (d *Disk) sync(f *file) {
	for _, c := range f.changes {
		f.platter = c.on(f.platter)
	}
	f.changes = nil
}

func (d *Disk) syncNames() {
	d.synced = maps.Clone(d.names)
	d.renames = nil
}

// on applies the change.
func (c change) on(content []byte) []byte {
	if c.data == nil {
		return resized(content, c.at)
	}
	content = resized(content, max(int64(len(content)), c.at+int64(len(c.data))))
	copy(content[c.at:], c.data)
	return content
}

func resized(content []byte, size int64) []byte {
	have := int64(len(content))
	if size <= have {
		return content[:size]
	}
	content = slices.Grow(content, int(size-have))[:size]
	clear(content[have:])
	return content
}

// Live is what programs see.
func (d *Disk) Live() Image {
	d.mu.Lock()
	defer d.mu.Unlock()
	image := make(Image)
	for name, f := range d.names {
		image[name] = slices.Clone(f.live)
	}
	return image
}
