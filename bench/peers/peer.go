// Package peers puts sqlane and the libraries it is measured against behind one
// small interface. All of them run the same SQL text on the same schema and
// scan into the same structs.
//
// Each peer is configured as its own documentation recommends; Peer.Config is
// the configuration in use and Peer.Source where it is recommended.
package peers

import (
	"context"
	"iter"

	"github.com/sqlane/sqlane/gen"
)

// Options are what a workload asks of a peer.
type Options struct {
	Path        string // a database in WAL mode, with the schema
	Synchronous string // "full" or "normal"
	Conns       int    // most connections; 0: as the peer is configured
}

// DB is a peer's open database. Its methods may be called by many goroutines,
// unless the peer is Alone.
type DB interface {
	// GetFileByPath, ListDirectory, AppendLog and UpsertFile run the query of
	// that name, each in a transaction of its own.
	GetFileByPath(ctx context.Context, path string) (gen.File, error)
	ListDirectory(ctx context.Context, arg gen.ListDirectoryParams) ([]gen.File, error)
	AppendLog(ctx context.Context, arg gen.AppendLogParams) (gen.IndexingLog, error)
	UpsertFile(ctx context.Context, arg gen.UpsertFileParams) (gen.File, error)
	// SearchFilesByPrefixSeq runs the query of that name and yields a row at a time.
	// Leaving the loop gives the connection back.
	SearchFilesByPrefixSeq(ctx context.Context, arg gen.SearchFilesByPrefixParams) iter.Seq2[gen.File, error]
	// Touch reads a file, moves its indexed_at on by one nanosecond and appends
	// to the log, with the file's id as count: one IMMEDIATE transaction.
	Touch(ctx context.Context, path string, log gen.AppendLogParams) error
	// Hold calls use while it has a connection for itself.
	Hold(ctx context.Context, use func()) error
	Close() error
}

// Bulk is what the floor does besides.
type Bulk interface {
	// AppendLogs appends a row so many times, in one transaction.
	AppendLogs(ctx context.Context, n int, arg gen.AppendLogParams) error
}

// Peer is a library in one configuration.
type Peer struct {
	Name   string
	Module string // whose version counts
	Config string
	Source string // the documentation that recommends it
	Tuned  bool   // not as first written, but as its experts would
	// Alone says that there is no pool: one goroutine, no Hold, no cancelling.
	Alone bool
	// Modernc says that SQLite is modernc's translation of it.
	Modernc bool
	Open    func(ctx context.Context, o Options) (DB, error)
	// Busy reports SQLITE_BUSY or SQLITE_LOCKED.
	Busy func(error) bool
}

// All returns every peer, sqlane first.
func All() []Peer {
	all := []Peer{Sqlane(), floor()}
	all = append(all, modernc()...)
	all = append(all, zombiezen())
	all = append(all, mattn()...)
	return append(all, ncruces()...)
}

// touch is the body of DB.Touch, in a transaction.
func touch(ctx context.Context, q touching, path string, log gen.AppendLogParams) error {
	file, err := q.GetFileByPath(ctx, path)
	if err != nil {
		return err
	}
	if _, err := q.MarkFileSeen(ctx, seen(file)); err != nil {
		return err
	}
	log.FileCount = file.ID
	_, err = q.AppendLog(ctx, log)
	return err
}

// touching are the queries of touch.
type touching interface {
	GetFileByPath(ctx context.Context, path string) (gen.File, error)
	MarkFileSeen(ctx context.Context, arg gen.MarkFileSeenParams) (int64, error)
	AppendLog(ctx context.Context, arg gen.AppendLogParams) (gen.IndexingLog, error)
}

func seen(file gen.File) gen.MarkFileSeenParams {
	at := file.IndexedAt
	at.Time = at.Add(1)
	return gen.MarkFileSeenParams{Path: file.Path, SeenAt: at}
}

func isBusy(code int) bool { return code&0xff == 5 || code&0xff == 6 }
