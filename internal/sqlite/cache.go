package sqlite

import "container/list"

// cache keeps a connection's prepared statements, the most recently used ones.
// A statement is taken out while it runs or its rows are open: to run it again
// then would be misuse, or wrong rows (https://www.sqlite.org/c3ref/step.html).
// The same text is prepared a second time meanwhile.
type cache struct {
	size   int              // It keeps so many at most.
	byText map[string]*Stmt // They are found by their text here.
	recent *list.List       // They are in the order of their last use here, the latest first.
}

func newCache(size int) cache {
	return cache{size: size, byText: make(map[string]*Stmt), recent: list.New()}
}

// Cached takes the statement for the text out of the cache; it is nil if the text
// must be prepared.
func (c *Conn) Cached(text string) *Stmt {
	s := c.Known(text)
	if s != nil {
		s.taken = true
		c.cache.recent.MoveToFront(s.element)
	}
	return s
}

// Known is the statement that Cached would take.
func (c *Conn) Known(text string) *Stmt {
	if s := c.cache.find(text); s != nil && !s.taken {
		return s
	}
	return nil
}

// find looks at the one that was used last before it looks a long text up.
func (c *cache) find(text string) *Stmt {
	if e := c.recent.Front(); e != nil {
		if s := e.Value.(*Stmt); s.key == text {
			return s
		}
	}
	return c.byText[text]
}

// Release ends the use of a statement from Prepare or Cached.
func (c *Conn) Release(s *Stmt) { c.cache.give(s) }

func (c *cache) give(s *Stmt) {
	s.taken = false
	if s.status != stmtIdle { // it was given up while it waited for a lock
		_ = s.reset()
	}
	switch {
	case s.element != nil && (s.status == stmtFinalized || s.stale):
		c.evict(s)
		return
	case s.element != nil || s.status == stmtFinalized:
		return
	}
	if _, there := c.byText[s.key]; there || s.key == "" || c.size <= 0 {
		_ = s.Close() // its error was the run's
		return
	}
	s.element = c.recent.PushFront(s)
	c.byText[s.key] = s
	for e := c.recent.Back(); c.recent.Len() > c.size && e != nil; {
		old, before := e.Value.(*Stmt), e.Prev()
		if !old.taken {
			c.evict(old)
		}
		e = before
	}
}

func (c *cache) evict(s *Stmt) {
	c.recent.Remove(s.element)
	delete(c.byText, s.key)
	_ = s.Close()
}

// clear finalizes everything. Nothing may be in use.
func (c *cache) clear() {
	for _, s := range c.byText {
		_ = s.Close()
	}
	c.byText, c.recent = map[string]*Stmt{}, list.New()
}
