// Package wire is one connection to a dqlite node: SQLite replicated by Raft,
// reached by a documented protocol (https://dqlite.io/docs/protocol). It needs
// neither libdqlite nor cgo.
//
// [Dial] makes a [Conn]. [Conn.Leader] and [Conn.Members] ask any node about its
// cluster; [Conn.Open] opens a database on the leader, for [Conn.Exec],
// [Conn.Query] and [Conn.Prepare]. It knows no cluster: finding the leader, trying
// again and sharing connections are for whoever calls.
//
// An error is one of three, told apart by errors.As:
//
//	*Failure  the node has answered, and refuses. The connection goes on.
//	*Lost     the connection failed, or the context ended in the midst. It is closed,
//	          and what was asked for may have been done, unless Sent is false.
//	other     nothing was sent: the context had ended, an argument cannot be sent,
//	          rows are open. The connection goes on.
//
// A Conn, its statements and its rows are not safe for concurrent use: whoever calls
// must be alone.
//
// # What dqlite 1.11 does
//
// A caller has to know this. All of it was seen on a node of 1.11.1, whose source says why:
// https://github.com/canonical/dqlite/tree/v1.11.1/src
//
// What ends the process of the node, and of the next leader when it is tried again:
//
//   - A statement that writes and returns rows (RETURNING) outside of a transaction, by Query
//     or by Exec: its commit is not replicated, and the next write on the database meets an
//     assertion (src/gateway.c, query_batch). Within BEGIN and COMMIT it is as it should be. A
//     connection that only reads is safe with PRAGMA query_only=ON.
//   - Reading a REAL or a BLOB from a column declared DATE, DATETIME or TIMESTAMP, or anything
//     but an integer from one declared BOOLEAN (src/query.c, value_type).
//   - PRAGMA journal_mode, page_size and wal_autocheckpoint with a value, and wal_checkpoint.
//     They are refused here.
//
// Values:
//
//   - A NULL in a column declared DATE, DATETIME or TIMESTAMP arrives like an empty text, and
//     is NULL here: the empty text is the rarer one.
//   - A NULL in a column declared BOOLEAN arrives as false, and nothing tells it from one. (BOOL
//     and other names are columns like any other.)
//   - A text is cut at its first NUL byte on its way here. On its way there it is refused.
//   - A statement has at most 255 arguments. With too few it takes NULL for those that are
//     missing; a prepared one counts them.
//
// Locks and the end of things:
//
//   - A lock that is taken fails with [CodeBusy] at once, whatever PRAGMA busy_timeout says, or
//     517 (SQLITE_BUSY_SNAPSHOT) where a transaction has read before it writes.
//   - The end of a connection rolls its transaction back, unless its commit is on its way.
//   - A leader that has lost its majority notices after 5 s. Until then a commit waits, other
//     writers get CodeBusy, and reads are answered, with what may be old by then.
//   - While the leadership is handed over, writes and commits fail with CodeNotLeader, and have
//     not happened. CodeLeadershipLost of a commit says that nobody knows.
//   - Rows that are not wanted are read and thrown away: the node looks at an interruption
//     when it has sent them all.
//   - After DDL, a SELECT or a PRAGMA a [Result] is the one of the write before.
package wire
