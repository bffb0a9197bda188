package powerfs

import (
	"strings"
	"syscall"
)

// Op is a kind of operation.
type Op string

// What can be made to fail.
const (
	Read     Op = "read"
	Write    Op = "write"
	Sync     Op = "sync"
	SyncDir  Op = "syncdir"
	Truncate Op = "truncate"
	Create   Op = "create"
	Open     Op = "open"
	Unlink   Op = "unlink"
	Look     Op = "look"
)

// Fault makes operations fail.
type Fault struct {
	Op     Op
	Suffix string // of the file's name, or all
	After  int    // so many succeed first
	Times  int    // so many fail then; 0: all
	Errno  syscall.Errno

	struck int
}

// SetFaults replaces all faults. A fault belongs to the disk from now on.
func (d *Disk) SetFaults(faults ...*Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = faults
}

// Struck counts the operations that the present faults made fail.
func (d *Disk) Struck() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.faults {
		n += f.struck
	}
	return n
}

func (d *Disk) strike(op Op, name string) syscall.Errno {
	for _, f := range d.faults {
		if f.Op != op || !strings.HasSuffix(name, f.Suffix) {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		if f.Times > 0 && f.struck >= f.Times {
			continue
		}
		f.struck++
		return f.Errno
	}
	return 0
}
