package native

import (
	"context"
	"iter"
	"slices"
)

// All runs a query, ends it, and returns its rows, which have so many columns, behind
// those in rows: none are rows as they were given. read reads one. After a failure
// there are none.
func All[T any](ctx context.Context, c *Call, columns int, rows []T, read func(*Call, *T)) ([]T, error) {
	if read == nil && c.err == nil {
		c.refuse("read")
	}
	done := false
	defer func() {
		if !done {
			c.abandon()
		}
	}()
	rows = slices.Clip(rows) // there may be something behind them
	for c.many(ctx); c.next(columns); {
		if len(rows) == cap(rows) {
			rows = withRoom(rows)
		}
		rows = rows[:len(rows)+1]
		read(c, &rows[len(rows)-1])
	}
	done = true
	if err := c.End(); err != nil {
		return nil, err
	}
	return rows, nil
}

// withRoom returns the rows with room for more, which are zero. append would add little to
// 256 and more: to copy so often, and to collect what that leaves behind, takes longer than
// to read the columns.
func withRoom[T any](rows []T) []T {
	n := len(rows)
	room := max(n, 4)
	if n >= 1<<12 {
		room = n / 4
	}
	return append(make([]T, 0, n+room), rows...)
}

// AllPointers is All with a pointer to each row.
func AllPointers[T any](ctx context.Context, c *Call, columns int, rows []*T, read func(*Call, *T)) ([]*T, error) {
	return All(ctx, c, columns, rows, pointed(read))
}

// pointed reads a row into memory of its own.
func pointed[T any](read func(*Call, *T)) func(*Call, **T) {
	if read == nil {
		return nil
	}
	return func(c *Call, row **T) {
		*row = new(T)
		read(c, *row)
	}
}

// Seq is All a row at a time: the query is run when a loop over it begins, and ended,
// its connection given back, when the loop is left, however that may be. An error comes
// last, with the zero row. call makes the query, for each loop anew. Whoever pulls
// rows with iter.Pull2 has to stop it: Go never collects a pull that waits.
func Seq[T any](ctx context.Context, call func() *Call, columns int, read func(*Call, *T)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		switch {
		case yield == nil:
			return
		case call == nil:
			yield(zero, Nil("call"))
			return
		}
		c := call()
		if read == nil && c.err == nil {
			c.refuse("read")
		}
		done := false
		defer func() {
			if !done {
				c.abandon()
			}
		}()
		row := new(T) // for all rows: the loop has a copy
		for c.many(ctx); c.next(columns); {
			*row = zero
			if read(c, row); c.err == nil && !yield(*row, nil) {
				done = true
				_ = c.End() // nobody is there to be told
				return
			}
		}
		done = true
		if err := c.End(); err != nil {
			yield(zero, err)
		}
	}
}

// SeqPointers is Seq with a pointer to each row.
func SeqPointers[T any](ctx context.Context, call func() *Call, columns int, read func(*Call, *T)) iter.Seq2[*T, error] {
	return Seq(ctx, call, columns, pointed(read))
}

// abandon closes the rows where a panic or Goexit passes: of a Scanner of the
// program's, or of a loop's body. The Call is left to the garbage then.
func (c *Call) abandon() { _ = c.close() }
