package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// An identity is what a node is in its cluster, kept in its folder.
type identity struct {
	ID      uint64 `json:"id"`
	Address string `json:"address"`
	State   state  `json:"state"`
	// Others are the members as they were when the node was last opened, for one that
	// has no copy of the log which tells them.
	Others []string `json:"others,omitempty"`
}

type state string

const (
	stateNew    state = "new"    // it may be a member, and has not run
	stateMember state = "member" // it has run, and promised others what its log says
	stateLeft   state = "left"
)

// The library makes the first node of a cluster of whoever has this ID and no log.
const firstID = 1

const identityFile, lockFile = "node.json", "lock"

// A folder is a node's, locked for this process.
type folder struct {
	path string
	lock *os.File
}

func openFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("a node runs in it already: end that process first, or give this node a Dir of its own")
		}
		return nil, fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	return &folder{path, lock}, nil
}

func (f *folder) close() error { return f.lock.Close() }

// identity returns nil if there is none yet.
func (f *folder) identity() (*identity, error) {
	text, err := os.ReadFile(filepath.Join(f.path, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var id identity
	err = json.Unmarshal(text, &id)
	if err == nil && id.ID == 0 {
		err = errors.New("it has no ID")
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): empty the folder and join anew", identityFile, err)
	}
	return &id, nil
}

// hasLog tells whether the library has been here.
func (f *folder) hasLog() (bool, error) {
	for _, name := range []string{"metadata1", "metadata2"} {
		if _, err := os.Stat(filepath.Join(f.path, name)); !errors.Is(err, fs.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}

// foreign names a file that is not of a node, in the folder of one that has not run.
func (f *folder) foreign() (string, error) {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		switch e.Name() {
		case lockFile, identityFile, identityFile + ".new":
		default:
			return e.Name(), nil
		}
	}
	return "", nil
}

func (f *folder) write(id identity) error {
	text, _ := json.Marshal(id) // of numbers and texts
	name := filepath.Join(f.path, identityFile)
	file, err := os.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return err
	}
	return f.sync()
}

func (f *folder) sync() error {
	dir, err := os.Open(f.path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
