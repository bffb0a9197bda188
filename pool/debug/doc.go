// Package debug is a page to look at pools: who has a connection, since when and
// where it was taken, who waits for the write lane, which transactions are open, who
// watches, what pins the write-ahead log, and which statements took the time.
//
//	mux.Handle("/debug/pool/", debug.Registry(&registry)) // or debug.Pool(p)
//
// The page is HTML that needs no JavaScript; with it, the page renews itself every two
// seconds, while it is visible. It answers GET and HEAD, allows nothing but its own
// style sheet and script (Content-Security-Policy), and grants no other origin anything.
//
// To look costs the pool little: a page takes no connection, waits for no statement,
// and holds no lock of the pool's for longer than it takes to copy what it shows.
//
// No value is shown: neither an argument nor a literal in a statement's text, which is
// a "?" as in [pool.Pool.Queries], nor an error's text. Paths, labels, and names of
// databases, functions, tables and queries are shown. There is no authentication: mount the page where only
// those get who may see that, behind the program's own, or on an address of its own.
package debug
