package native

import (
	"context"
	"iter"
)

// doubled is up to how many rows the room for them doubles. append adds a quarter and a
// little to 256 and more: to copy so often, and to collect what that leaves behind, takes a
// tenth of all that reading a thousand rows takes.
const doubled = 1 << 12

// All runs a query, ends it, and returns its rows, which have so many columns, behind
// those in rows: none are rows as they were given. read reads one. After a failure
// there are none.
func All[T any](ctx context.Context, c *Call, columns int, rows []T, read func(*Call, *T)) ([]T, error) {
	done := false
	defer func() {
		if !done {
			c.abandon()
		}
	}()
	var zero T
	for c.many(ctx); c.next(columns); {
		if n := len(rows); n == cap(rows) && n >= 16 && n < doubled {
			rows = append(make([]T, 0, 2*n), rows...)
		}
		rows = append(rows, zero)
		read(c, &rows[len(rows)-1])
	}
	done = true
	if err := c.End(); err != nil {
		return nil, err
	}
	return rows, nil
}

// AllPointers is All with a pointer to each row.
func AllPointers[T any](ctx context.Context, c *Call, columns int, rows []*T, read func(*Call, *T)) ([]*T, error) {
	return All(ctx, c, columns, rows, pointed(read))
}

// pointed reads a row into memory of its own.
func pointed[T any](read func(*Call, *T)) func(*Call, **T) {
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
		c := call()
		done := false
		defer func() {
			if !done {
				c.abandon()
			}
		}()
		var zero T
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
