// Package libdqlite runs dqlite's C library, and no more of it than a node needs:
// the SQL goes over its wire protocol, in Go.
//
// go-dqlite, the Go binding of dqlite's makers, is not used: it sets SQLite's
// threading mode for the whole process, ignores SIGPIPE for the whole process, dials
// with one lock for all nodes held for up to five seconds, and links mattn's driver.
package libdqlite

/*
#cgo LDFLAGS: -ldqlite -lsqlite3
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime/cgo"
	"sync"
	"unsafe"
)

// Options of a node.
type Options struct {
	ID      uint64
	Address string // how others reach it
	Dir     string
	// Dial gives a connected socket to the node at address, which is then the
	// library's. It is called on threads of the library, which has four, and should
	// not take long.
	Dial func(address string) (fd int, err error)
	// Latency is in milliseconds; 0 leaves the library's own timeouts.
	Latency uint
	// SnapshotThreshold and SnapshotTrailing are in entries of the log; 0 leaves the
	// library's own.
	SnapshotThreshold, SnapshotTrailing uint
}

// Node is a running node.
type Node struct {
	node    *C.dqlite_node
	dial    cgo.Handle
	address string
}

// The library numbers its nodes without a lock, and what it registers with SQLite must
// not change while a node is created.
var nodes sync.Mutex

func create(id uint64, address, dir string) (*C.dqlite_node, error) {
	cAddress, cDir := C.CString(address), C.CString(dir)
	defer C.free(unsafe.Pointer(cAddress))
	defer C.free(unsafe.Pointer(cDir))
	nodes.Lock()
	defer nodes.Unlock()
	var node *C.dqlite_node
	if rc := C.sqlane_create(C.dqlite_node_id(id), cAddress, cDir, &node); rc != 0 {
		return nil, fmt.Errorf("it cannot write the folder, or what is there is damaged (code %d)", rc)
	}
	return node, nil
}

func destroy(node *C.dqlite_node) {
	nodes.Lock()
	defer nodes.Unlock()
	C.dqlite_node_destroy(node)
}

// Start starts a node. It listens on a socket that only its own process can reach.
// The very first of a cluster has the ID 1.
func Start(o Options) (*Node, error) {
	node, err := create(o.ID, o.Address, o.Dir)
	if err != nil {
		return nil, err
	}
	n := &Node{node: node, dial: cgo.NewHandle(o.Dial)}
	if err := n.start(o); err != nil {
		n.dial.Delete()
		return nil, err
	}
	n.address = C.GoString(C.dqlite_node_get_bind_address(node))
	return n, nil
}

func (n *Node) start(o Options) error {
	anyAbstract := C.CString("@")
	defer C.free(unsafe.Pointer(anyAbstract))
	rc := C.dqlite_node_set_bind_address(n.node, anyAbstract)
	if rc == 0 {
		rc = C.sqlane_set_connect(n.node, C.uintptr_t(n.dial))
	}
	if rc == 0 && o.Latency > 0 {
		rc = C.dqlite_node_set_network_latency_ms(n.node, C.uint(o.Latency))
	}
	if rc == 0 && o.SnapshotThreshold > 0 {
		rc = C.dqlite_node_set_snapshot_params(n.node, C.uint(o.SnapshotThreshold), C.uint(o.SnapshotTrailing))
	}
	if rc != 0 {
		destroy(n.node)
		return fmt.Errorf("preparing a dqlite node: code %d", rc)
	}
	if rc = C.sqlane_start(n.node); rc != 0 {
		// It may have a thread that nobody can wait for: what it has is left to it.
		if message := C.GoString(C.dqlite_node_errmsg(n.node)); message != "" {
			return errors.New(message)
		}
		return fmt.Errorf("dqlite_node_start: code %d", rc)
	}
	return nil
}

// Address is where its own process reaches it: an abstract Unix socket, with @ for
// the leading zero byte.
func (n *Node) Address() string { return n.address }

// Stop ends it and gives back what it has. It may be called once.
func (n *Node) Stop() error {
	rc := C.dqlite_node_stop(n.node)
	destroy(n.node)
	n.dial.Delete()
	if rc != 0 {
		return fmt.Errorf("dqlite_node_stop: code %d", rc)
	}
	return nil
}

// Recover makes the node whose data lies in dir, and which does not run, the only
// member of its cluster.
func Recover(id uint64, address, dir string) error {
	node, err := create(id, address, dir)
	if err != nil {
		return err
	}
	defer destroy(node)
	cAddress := C.CString(address)
	defer C.free(unsafe.Pointer(cAddress))
	if rc := C.sqlane_recover(node, C.dqlite_node_id(id), cAddress); rc != 0 {
		return fmt.Errorf("dqlite_node_recover_ext: code %d", rc)
	}
	return nil
}

//export sqlaneDial
func sqlaneDial(handle C.uintptr_t, address *C.char, fd *C.int) C.int {
	dial := cgo.Handle(handle).Value().(func(string) (int, error))
	got, err := dial(C.GoString(address))
	if err != nil {
		return 1
	}
	*fd = C.int(got)
	return 0
}
