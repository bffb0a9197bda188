package main

import (
	"context"

	"example.org/notes/store"
	"github.com/sqlane/sqlane/pool"
)

// addTwo adds both notes or none, and returns how many there are then.
func addTwo(ctx context.Context, notes *store.Repo, a, b string) (n int64, err error) {
	err = notes.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.AddNote(ctx, a); err != nil {
			return err
		}
		if _, err := tx.AddNote(ctx, b); err != nil {
			return err // errors.Is(err, store.ErrDuplicate): it is there already
		}
		n, err = tx.CountNotes(ctx)
		return err
	})
	return n, err
}
