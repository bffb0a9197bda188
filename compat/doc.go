// Package compat shows that what is commonly made for database/sql works through
// the pool's face for it, pool.Pool.DB. It holds tests alone, and is a module of
// its own so that the product needs none of those libraries:
//
//	sqlx            named and positional queries, rows into structs, transactions
//	squirrel        a query builder with its own statement cache
//	bun             an object mapper with its own dialect, transactions and migrator
//	goose           migrations, by its package functions, its Provider and its command line
//	golang-migrate  migrations, wrapped in transactions and not
//	GORM, ent       object mappers whose migrators rebuild tables
//	River, goqite   queues of jobs, worked by many goroutines
//	scs             sessions of a web server
//	dbx             as PocketBase opens it: a handle to read and one to write
//
// Each is tried in WAL mode, with a rollback journal and in memory, with several
// connections and with one, and beside it on the driver alone. PocketBase itself is in
// a module of its own, folder pocketbase, which is no part of continuous integration.
// What differs is told in docs/database-sql.md, whose code is that of guide_test.go.
package compat
