// Package compat shows that what is commonly made for database/sql works through
// the pool's face for it, pool.Pool.DB. It holds tests alone, and is a module of
// its own so that the product needs none of those libraries:
//
//	sqlx            named and positional queries, rows into structs, transactions
//	squirrel        a query builder with its own statement cache
//	bun             an object mapper with its own dialect and transactions
//	goose           migrations, by its package functions and its Provider
//	golang-migrate  migrations, wrapped in transactions and not
//	GORM, ent       object mappers whose migrators rebuild tables
//	River           a queue of jobs, worked by many goroutines
//	dbx             as PocketBase opens it: a handle to read and one to write
//
// Each is tried in WAL mode, with a rollback journal and in memory, with several
// connections and with one; what can lose rows or be locked out there, on the
// driver alone as well. What differs is told in docs/database-sql.md, whose code is
// that of guide_test.go.
package compat
