// Package repo is the repository of the file index: every query of package gen
// as a method, inside and outside transactions.
//
//	r := repo.New(p) // p is a *pool.Pool, or another pool.Store
//	file, err := r.GetFileByPath(ctx, "/etc/hosts")
//
//	err = r.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
//		n, err := tx.RenameFiles(ctx, gen.RenameFilesParams{OldPath: "/a", NewPath: "/b"})
//		...
//	})
//
// [Repo] and [Tx] both are a gen.Querier, so code written against that interface
// runs in either. A context that comes from a transaction's function carries the
// transaction: methods of Repo called with it join in. Outside a transaction a
// reading method runs on a connection of the read lane: see [pool.Reader]. A writing
// one is a member of a batch, as with [Repo.Batch], which commits concurrent callers
// together: see [pool.Writer]. [Reader] has the reading methods alone; a
// [Repo.View] is given no more. [Statements] are the queries' texts.
//
// A query for several rows has an iterator beside its list, which holds one row and a
// connection while a loop is in it, and gives that back when the loop is left:
//
//	for file, err := range r.LargestFilesSeq(ctx, 1_000_000) {
//		...
//	}
//
// In a transaction, the context's too, such a loop ends with it. The writing ones have
// read all their rows before the first, since their work is durable then.
//
// All errors of queries can be told apart with errors.Is: see package dberr.
//
// cmd/repogen writes this package from package gen, and writes the same for any
// other package that sqlc has generated.
package repo

//go:generate go run ../cmd/repogen -gen ../gen -out repo_gen.go
