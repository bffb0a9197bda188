// Package watch keeps account of which tables commits have changed, and of who
// wants to know. It knows no SQLite and starts no goroutine.
//
// [Work] is what one connection has changed and not committed yet. A [Hub] numbers
// commits, and has a [Listener] for everybody who waits for some of them.
package watch

import "slices"

// Work is what a connection has changed since its last commit, savepoint by
// savepoint. Its zero value is ready. It belongs to one goroutine at a time.
type Work struct {
	base  changes
	parts []part // These savepoints are open, the innermost last.
}

type part struct {
	name string
	changes
}

// changes are tables, and whether the schema is among what has changed.
type changes struct {
	tables []string
	index  map[string]struct{} // It finds one of many tables; nil while they are few.
	schema bool
}

const few = 16 // tables are found faster one by one

func (c *changes) add(table string) {
	switch {
	case c.index != nil:
		if _, there := c.index[table]; there {
			return
		}
		c.index[table] = struct{}{}
	case slices.Contains(c.tables, table):
		return
	case len(c.tables) == few:
		c.index = make(map[string]struct{})
		for _, t := range c.tables {
			c.index[t] = struct{}{}
		}
		c.index[table] = struct{}{}
	}
	c.tables = append(c.tables, table)
}

func (c *changes) addAll(more *changes) {
	for _, table := range more.tables {
		c.add(table)
	}
	c.schema = c.schema || more.schema
}

func (c *changes) none() bool { return len(c.tables) == 0 && !c.schema }

func (c *changes) clear() { c.tables, c.index, c.schema = c.tables[:0], nil, false }

// Change notes that tables have changed, and the schema if that is true.
func (w *Work) Change(tables []string, schema bool) {
	to := &w.base
	if n := len(w.parts); n > 0 {
		to = &w.parts[n-1].changes
	}
	for _, table := range tables {
		to.add(table)
	}
	to.schema = to.schema || schema
}

// Savepoint notes that a savepoint was begun.
func (w *Work) Savepoint(name string) {
	n := len(w.parts)
	w.parts = slices.Grow(w.parts, 1)[:n+1] // what is there keeps its memory
	w.parts[n].name = name
	w.parts[n].clear()
}

// Release keeps the work of the savepoint of that name, and of those within it.
func (w *Work) Release(name string) {
	if i := w.find(name); i >= 0 {
		w.merge(i)
	}
}

func (w *Work) merge(to int) {
	for n := len(w.parts); n > to; n-- {
		inner, outer := &w.parts[n-1].changes, &w.base
		if n > 1 {
			outer = &w.parts[n-2].changes
		}
		outer.addAll(inner)
	}
	w.parts = w.parts[:to]
}

// RollbackTo undoes the work of the savepoint, which stays open.
func (w *Work) RollbackTo(name string) {
	if i := w.find(name); i >= 0 {
		w.parts = w.parts[:i+1]
		w.parts[i].clear()
	}
}

// find is where the innermost savepoint of that name is; -1 if there is none.
func (w *Work) find(name string) int {
	for i := len(w.parts) - 1; i >= 0; i-- {
		if w.parts[i].name == name {
			return i
		}
	}
	return -1
}

// Undo forgets everything: the transaction was rolled back.
func (w *Work) Undo() {
	w.base.clear()
	w.parts = w.parts[:0]
}

// None reports that nothing has changed.
func (w *Work) None() bool {
	for i := range w.parts {
		if !w.parts[i].none() {
			return false
		}
	}
	return w.base.none()
}
