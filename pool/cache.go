package pool

import "container/list"

// cache keeps a connection's prepared statements, the most recently used ones.
// A statement is taken out while it runs or its rows are open: to run it again
// then would be misuse, or wrong rows (https://www.sqlite.org/c3ref/step.html).
// The same text is prepared a second time meanwhile. conn.mu guards it.
type cache struct {
	size         int
	byText       map[string]*statement
	recent       *list.List // of *statement, the most recent first
	hits, misses *counter
}

func newCache(size int, hits, misses *counter) cache {
	return cache{size: size, byText: make(map[string]*statement), recent: list.New(), hits: hits, misses: misses}
}

// take returns the statement for the text, or nil if it must be prepared.
func (c *cache) take(text string) *statement {
	s := c.byText[text]
	if s == nil || s.taken {
		c.misses.Add(1)
		return nil
	}
	c.hits.Add(1)
	s.taken = true
	c.recent.MoveToFront(s.element)
	return s
}

// harmless reports that the text is a known statement that does nothing but read
// and write the database, without a trigger or a function of the program's.
func (c *cache) harmless(text string) bool {
	s := c.byText[text]
	return s != nil && !s.taken && s.effects == effects{}
}

// give ends the use of a statement.
func (c *cache) give(s *statement) {
	s.taken = false
	if s.running { // it was given up while it waited for a lock
		_ = s.reset()
	}
	switch {
	case s.element != nil && (s.spent || s.stale):
		c.evict(s)
		return
	case s.element != nil || s.spent:
		return
	}
	if _, there := c.byText[s.key]; there || s.key == "" || c.size <= 0 {
		_ = s.Close() // its error was the run's
		return
	}
	s.element = c.recent.PushFront(s)
	c.byText[s.key] = s
	for e := c.recent.Back(); c.recent.Len() > c.size && e != nil; {
		old, before := e.Value.(*statement), e.Prev()
		if !old.taken {
			c.evict(old)
		}
		e = before
	}
}

func (c *cache) evict(s *statement) {
	c.recent.Remove(s.element)
	delete(c.byText, s.key)
	_ = s.Close()
}

// clear finalizes everything. Nothing may be in use.
func (c *cache) clear() {
	for _, s := range c.byText {
		_ = s.Close()
	}
	c.byText, c.recent = map[string]*statement{}, list.New()
}
