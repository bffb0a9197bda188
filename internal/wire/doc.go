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
// What dqlite 1.11 does, and a caller has to know (its source is the reference:
// https://github.com/canonical/dqlite/tree/v1.11.1/src):
//
//   - A NULL in a column declared DATE, DATETIME or TIMESTAMP arrives like an empty
//     text (src/query.c), and is NULL here: the empty text is the rarer one.
//   - A NULL in a column declared BOOLEAN arrives as false, and nothing tells it
//     from one.
//   - A text is cut at its first NUL byte on its way here. On its way there it is refused.
//   - A text has at most 255 parameters.
//   - A statement on its own with too few arguments takes NULL for those that are
//     missing; a prepared one counts them.
//   - Rows that are not wanted are read and thrown away: the node looks at an
//     interruption when it has sent them all.
package wire
