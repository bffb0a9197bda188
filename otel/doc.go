// Package sqlaneotel makes OpenTelemetry's spans and metrics of what sqlane's pools do,
// named by the semantic conventions for databases
// (https://opentelemetry.io/docs/specs/semconv/db/).
//
// [NewTracer] is for pool.Config.Tracer: spans, and the metrics of single operations.
// [Observe] is for whoever has the pools: the metrics of connections, transactions and
// the write-ahead log, read from pool.Pool.Stats when they are collected.
//
// # Spans
//
// Their kind is INTERNAL, as for a database in the same process. Each has db.system.name
// "sqlite" and db.namespace, which is the pool's name.
//
//   - A query is named by its db.query.summary: the name that sqlc gave it, or its verb
//     and tables. It has db.query.text, db.operation.name and, if one table is all that
//     it names, db.collection.name. Its rows are part of it until they are closed.
//   - "transaction IMMEDIATE", or another level, is the parent of its statements, and so
//     is "batch" for each of its members.
//   - "commit" is that of a batch, within the member's span that orders it. The span of
//     each member whose work is in it has a link to it.
//   - "acquire" is the wait for a connection, or for the write lane.
//   - "backup" is a step of a backup.
//
// What a span spent waiting is in sqlane.wait.lane and sqlane.wait.lock, in seconds: for
// the pool's own lanes, and for locks of other processes.
//
// An error sets the status and error.type: the sentinel that errors.Is finds, such as
// "pool.ErrConflict", "context.Canceled" or "dberr.ErrDuplicate"; else SQLite's result
// code; else "_OTHER", as for an error of a transaction's own function. SQLite's code is
// in db.response.status_code. The error's text is not told: it may have values in it.
//
// # Values
//
// Arguments of queries are never told, pool.Config.TraceArguments or not. In
// db.query.text literals are ? and comments are left out.
//
// # Metrics
//
//   - db.client.operation.duration, of queries and commits of batches. That of a query
//     whose rows are read one by one has the time of their reader in it.
//   - db.client.connection.wait_time, count, max, pending_requests and timeouts.
//   - sqlane.*: what has no name in the conventions, see [Observe].
//
// db.client.connection.create_time and use_time are not there: a pool does not tell.
package sqlaneotel
