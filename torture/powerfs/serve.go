package powerfs

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/sqlane/sqlane/torture/child"
)

// Server is the role of a process that serves a disk to the one that started
// it. A process had better not serve itself: a page of a mapped file that is
// missing stops a thread, of which the Go runtime knows nothing.
const Server = "disk"

// Remote is a disk in a process of its own.
type Remote struct {
	Dir   string // where it is mounted
	child *child.Child
}

type order struct {
	Faults []*Fault // if Set
	Set    bool
	Peek   string // a directory for the image
	Seed   uint64
}

type answer struct {
	Struck  int
	Error   string
	NoMount bool
}

// StartServer mounts an empty disk in a directory.
func StartServer(dir string) (*Remote, error) {
	c, err := child.Start(Server, dir)
	if err != nil {
		return nil, err
	}
	r := &Remote{dir, c}
	if _, err := r.answer(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// SetFaults replaces all faults.
func (r *Remote) SetFaults(faults ...*Fault) error {
	_, err := r.ask(order{Faults: faults, Set: true})
	return err
}

// Struck counts the operations that the present faults made fail.
func (r *Remote) Struck() (int, error) {
	a, err := r.ask(order{})
	return a.Struck, err
}

// Peek writes what a cut at this moment would leave into a directory.
func (r *Remote) Peek(dir string, seed uint64) error {
	_, err := r.ask(order{Peek: dir, Seed: seed})
	return err
}

// Close unmounts the disk, which nobody may use any more.
func (r *Remote) Close() error {
	_, err := r.child.End()
	return err
}

func (r *Remote) ask(o order) (answer, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	if _, err := fmt.Fprintf(r.child.In, "%s\n", text); err != nil {
		return answer{}, fmt.Errorf("ask the disk: %w", err)
	}
	return r.answer()
}

func (r *Remote) answer() (a answer, err error) {
	line, ok := <-r.child.Lines
	if !ok {
		return a, errors.New("the disk's process has ended")
	}
	if err := json.Unmarshal([]byte(line), &a); err != nil {
		return a, err
	}
	switch {
	case a.NoMount:
		return a, fmt.Errorf("%w%s", ErrNoMount, strings.TrimPrefix(a.Error, ErrNoMount.Error()))
	case a.Error != "":
		return a, errors.New(a.Error)
	}
	return a, nil
}

// Serve is a server's role.
func Serve(setup []byte) error {
	var dir string
	if err := json.Unmarshal(setup, &dir); err != nil {
		return err
	}
	disk := NewDisk(nil)
	mount, err := Mount(dir, disk)
	if err != nil {
		reply(answer{Error: err.Error(), NoMount: errors.Is(err, ErrNoMount)})
		return nil
	}
	reply(answer{})
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var o order
		var a answer
		err := json.Unmarshal(in.Bytes(), &o)
		if err == nil && o.Set {
			disk.SetFaults(o.Faults...)
		}
		if err == nil && o.Peek != "" {
			err = disk.Peek(rand.New(rand.NewPCG(o.Seed, 2))).Save(o.Peek)
		}
		a.Struck = disk.Struck()
		if err != nil {
			a.Error = err.Error()
		}
		reply(a)
	}
	return mount.Unmount()
}

func reply(a answer) { _ = json.NewEncoder(os.Stdout).Encode(a) }

// Save makes the files of an image in a new directory. One that exists is
// replaced.
func (i Image) Save(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, content := range i {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
