// Package compat shows that what is commonly made for database/sql works through
// the pool's face for it, pool.Pool.DB. It holds tests alone, and is a module of
// its own so that the product needs none of those libraries:
//
//	sqlx      named and positional queries, rows into structs, transactions
//	squirrel  a query builder with its own statement cache
//	bun       an object mapper with its own dialect and transactions
//
// Each is tried in WAL mode, with a rollback journal and in memory, with several
// connections and with one. goose is tried in package pool itself.
package compat
