package main

import (
	"io/fs"
	"slices"
	"sync"
)

// folder is a directory that was met.
type folder struct {
	path string
	info fs.FileInfo
}

// stack holds the directories that are yet to be read, the last one found first:
// so it grows with the depth of the tree and not with its size.
type stack struct {
	mu      sync.Mutex // guards what follows
	changed *sync.Cond
	dirs    []folder
	busy    int // pops that are not done
	closed  bool
}

// cond is made when it is first needed. The caller holds mu.
func (s *stack) cond() *sync.Cond {
	if s.changed == nil {
		s.changed = sync.NewCond(&s.mu)
	}
	return s.changed
}

func (s *stack) push(dirs ...folder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirs = append(s.dirs, dirs...)
	s.cond().Broadcast()
}

// pop waits for directories and takes some: what is the share of one of so many
// callers, but not many. ok is false when none will come any more.
func (s *stack) pop(callers int) (dirs []folder, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.dirs) == 0 && s.busy > 0 && !s.closed {
		s.cond().Wait()
	}
	if len(s.dirs) == 0 || s.closed {
		return nil, false
	}
	share := (len(s.dirs) + callers - 1) / callers
	rest := len(s.dirs) - min(share, 32)
	dirs, s.dirs = slices.Clone(s.dirs[rest:]), s.dirs[:rest]
	s.busy++
	return dirs, true
}

// done says that what one pop took has been dealt with.
func (s *stack) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.cond().Broadcast()
}

// close ends the work early.
func (s *stack) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.cond().Broadcast()
}
