package wire

import (
	"errors"
	"fmt"
	"net"
)

// Codes of a [Failure] that dqlite adds to SQLite's, or gives a meaning of their own.
const (
	// CodeNotLeader: the node is not the leader; nothing was done.
	CodeNotLeader = 10 | 40<<8
	// CodeLeadershipLost: the node was the leader when it began. What it was asked to
	// write may be written nonetheless, by the leader after it.
	CodeLeadershipLost = 10 | 41<<8
	// CodeBusy is SQLITE_BUSY: another connection writes or a checkpoint runs, or the
	// cluster is changing its members already.
	CodeBusy = 5
	// CodeNotFound: no database is open, or the statement is not there.
	CodeNotFound = 12
	// CodeRow is SQLITE_ROW: Exec was given a statement that returns rows. It has run, so
	// far as it runs for its first row.
	CodeRow = 100
)

// Failure is what a node answered instead of what it was asked for. The connection
// goes on.
type Failure struct {
	// Code is SQLite's extended result code (https://www.sqlite.org/rescode.html) or
	// one of dqlite's own.
	Code int
	// Message is SQLite's or dqlite's text for it, or one that says what it means.
	Message string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("dqlite: %s (%d)", f.Message, f.Code)
}

// SQLiteCode returns the code, by which package dberr knows the kind.
func (f *Failure) SQLiteCode() int {
	return f.Code
}

// plain gives a failure the meaning that dqlite 1.11 has mixed up. It passes Raft's own
// codes on as they are (src/leader.c, leaderExecV2), which mean others of SQLite: to write
// while the leadership is handed over fails with Raft's 7, SQLITE_NOMEM. What tells them
// apart is SQLite's text beside them, which is of no error.
func (f *Failure) plain() *Failure {
	const (
		raftNotLeader      = 7
		raftLeadershipLost = 8
		noError, noMore    = "not an error", "no more rows available"
	)
	switch none := f.Message == noError || f.Message == noMore; {
	case none && f.Code == raftNotLeader:
		return &Failure{CodeNotLeader, "not leader"}
	case none && f.Code == raftLeadershipLost:
		return &Failure{CodeLeadershipLost, "leadership lost"}
	case f.Code == 1 && f.Message == noError:
		return &Failure{f.Code, "the statement returns no rows, and was not run; Exec runs it"}
	case f.Code == CodeRow:
		return &Failure{f.Code, "the statement returns rows, of which none was read; Query reads them"}
	}
	return f
}

// Lost is returned when the connection failed or the context ended in the midst of a
// call. The connection is closed then.
type Lost struct {
	// Sent tells whether any of the request may have reached the node. Where it is
	// false nothing was done; where it is true nobody here knows.
	Sent bool
	// Err is why: the context's error if that has ended.
	Err error
}

func (l *Lost) Error() string {
	if l.Sent {
		return fmt.Sprintf("dqlite: connection lost while a request was on its way: %v", l.Err)
	}
	return fmt.Sprintf("dqlite: connection lost: %v", l.Err)
}

func (l *Lost) Unwrap() error {
	return l.Err
}

var (
	errRowsOpen  = errors.New("dqlite: the connection's rows are still open; read them to the end or close them")
	errMalformed = errors.New("dqlite: malformed answer")
	errClosed    = fmt.Errorf("the connection has been closed: %w", net.ErrClosed)
)
