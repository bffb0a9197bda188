package pool

import "context"

// member is one caller of Batch in the write lane's queue.
type member struct {
	shared *Tx // the open transaction it was handed, if it was
}

// Batch runs fn in a transaction and returns when its work is durable.
func (p *Pool) Batch(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return p.InTx(ctx, Immediate, fn)
}
