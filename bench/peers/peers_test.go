package peers_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sqlane/sqlane/bench/peers"
	"github.com/sqlane/sqlane/column"
	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/schema"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

var now = column.At(time.Unix(0, 1_700_000_000_000_000_000))

func file(name string) gen.UpsertFileParams {
	size := int64(7)
	return gen.UpsertFileParams{
		DirectoryID: 1, Path: "/a/" + name, Name: name, NameLower: name, Extension: "go", Size: &size,
		DateCreated: now, DateModified: now, IndexedAt: now, CloudProvider: column.NoCloud, CloudStatus: column.Local,
	}
}

func entry(count int64) gen.AppendLogParams {
	return gen.AppendLogParams{Timestamp: now, Operation: column.Indexed, Path: "/a", FileCount: count, Duration: time.Second}
}

// forEach opens each peer on a database with one directory. What a test returns
// is called with the database when the peer has closed it: two SQLites in one
// process would undo each other's locks.
func forEach(t *testing.T, o peers.Options, test func(t *testing.T, p peers.Peer, db peers.DB) (after func(*gen.Queries))) {
	for _, p := range peers.All() {
		t.Run(p.Name, func(t *testing.T) {
			o := o
			o.Path = filepath.Join(t.TempDir(), "app.db")
			var after func(*gen.Queries)
			plainly(t, o.Path, func(plain *sql.DB) {
				require.NoError(t, schema.Up(t.Context(), plain))
				_, err := gen.New(plain).UpsertDirectory(t.Context(), gen.UpsertDirectoryParams{Path: "/a"})
				require.NoError(t, err)
			})
			db, err := p.Open(t.Context(), o)
			require.NoError(t, err)
			after = test(t, p, db)
			require.NoError(t, db.Close())
			plainly(t, o.Path, func(plain *sql.DB) { after(gen.New(plain)) })
		})
	}
}

func plainly(t *testing.T, path string, use func(*sql.DB)) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)")
	require.NoError(t, err)
	use(db)
	require.NoError(t, db.Close())
}

func TestEveryPeerReturnsWhatPackageGenDoes(t *testing.T) {
	forEach(t, peers.Options{Synchronous: "normal"}, func(t *testing.T, _ peers.Peer, db peers.DB) func(*gen.Queries) {
		ctx := t.Context()
		_, err := db.GetFileByPath(ctx, "/a/x.go")
		require.Error(t, err, "there is no such file yet")

		local := file("x.go")
		made, err := db.UpsertFile(ctx, local)
		require.NoError(t, err)
		cloud := file("y.unknown")
		cloud.Extension, cloud.Size, cloud.CloudProvider, cloud.CloudStatus = "unknown", nil, column.Dropbox, column.CloudOnly
		far, err := db.UpsertFile(ctx, cloud)
		require.NoError(t, err)
		want := []gen.File{made, far}

		got, err := db.GetFileByPath(ctx, "/a/x.go")
		require.NoError(t, err)
		require.Equal(t, made, got)
		for range 2 { // a statement may be run again
			all, err := db.ListDirectory(ctx, gen.ListDirectoryParams{DirectoryID: 1, Count: 9})
			require.NoError(t, err)
			require.Equal(t, want, all)
		}
		rest, err := db.ListDirectory(ctx, gen.ListDirectoryParams{DirectoryID: 1, AfterName: "x.go", AfterID: made.ID, Count: 9})
		require.NoError(t, err)
		require.Equal(t, want[1:], rest)

		arg := gen.SearchFilesByPrefixParams{Prefix: "", Count: 9}
		soon, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		for range 12 { // more than there are connections: they come back from loops that were left
			for first, err := range db.SearchFilesByPrefixSeq(soon, arg) {
				require.NoError(t, err)
				require.Equal(t, made, first)
				break
			}
			var streamed []gen.File
			for one, err := range db.SearchFilesByPrefixSeq(soon, arg) {
				require.NoError(t, err)
				streamed = append(streamed, one)
			}
			require.Equal(t, want, streamed)
		}

		logged, err := db.AppendLog(ctx, entry(3))
		require.NoError(t, err)
		return func(q *gen.Queries) {
			same, err := q.ListDirectory(ctx, gen.ListDirectoryParams{DirectoryID: 1, Count: 9})
			require.NoError(t, err)
			require.Equal(t, same, want)
			last, err := q.LastLog(ctx, column.Indexed)
			require.NoError(t, err)
			require.Equal(t, last, logged)
		}
	})
}

func TestEveryPeerTouchesAllOrNothing(t *testing.T) {
	forEach(t, peers.Options{Synchronous: "full"}, func(t *testing.T, _ peers.Peer, db peers.DB) func(*gen.Queries) {
		ctx := t.Context()
		made, err := db.UpsertFile(ctx, file("x.go"))
		require.NoError(t, err)
		require.NoError(t, db.Touch(ctx, made.Path, entry(0)))
		bad := entry(0)
		bad.Operation = "unknown" // after the file was marked, the log refuses it
		require.Error(t, db.Touch(ctx, made.Path, bad))
		require.NoError(t, db.Touch(ctx, made.Path, entry(0)), "the next one finds no transaction open")
		got, err := db.GetFileByPath(ctx, made.Path)
		require.NoError(t, err)
		require.Equal(t, made.IndexedAt.Add(2), got.IndexedAt.Time)
		return func(q *gen.Queries) {
			log, err := q.RecentLog(ctx, 9)
			require.NoError(t, err)
			require.Len(t, log, 2)
			require.Equal(t, made.ID, log[0].FileCount)
		}
	})
}

func TestTheFloorAppendsManyRowsOrNone(t *testing.T) {
	forEach(t, peers.Options{Synchronous: "full"}, func(t *testing.T, p peers.Peer, db peers.DB) func(*gen.Queries) {
		bulk, is := db.(peers.Bulk)
		require.Equal(t, p.Alone, is)
		if !is {
			return func(*gen.Queries) {}
		}
		require.NoError(t, bulk.AppendLogs(t.Context(), 5, entry(3)))
		bad := entry(0)
		bad.Operation = "unknown"
		require.Error(t, bulk.AppendLogs(t.Context(), 5, bad))
		require.NoError(t, bulk.AppendLogs(t.Context(), 2, entry(4)), "the next one finds no transaction open")
		return func(q *gen.Queries) {
			log, err := q.RecentLog(t.Context(), 99)
			require.NoError(t, err)
			require.Len(t, log, 7)
		}
	})
}

func TestTheFloorHasNoMutex(t *testing.T) {
	forEach(t, peers.Options{Synchronous: "full"}, func(t *testing.T, p peers.Peer, db peers.DB) func(*gen.Queries) {
		if p.Alone {
			require.False(t, peers.HasMutex(db))
		}
		return func(*gen.Queries) {}
	})
}

func TestEveryPoolLosesNoTouchOfMany(t *testing.T) {
	forEach(t, peers.Options{Synchronous: "normal"}, func(t *testing.T, p peers.Peer, db peers.DB) func(*gen.Queries) {
		goroutines, each := 8, 20
		if p.Alone {
			goroutines = 1
		}
		made, err := db.UpsertFile(t.Context(), file("x.go"))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var workers sync.WaitGroup
		errs := make(chan error, goroutines)
		for range goroutines {
			workers.Go(func() {
				var err error
				for i := 0; i < each && err == nil; i++ {
					err = db.Touch(ctx, made.Path, entry(0))
				}
				errs <- err
			})
		}
		workers.Wait()
		for range goroutines {
			require.NoError(t, <-errs)
		}
		return func(q *gen.Queries) {
			got, err := q.GetFileByPath(t.Context(), made.Path)
			require.NoError(t, err)
			require.Equal(t, made.IndexedAt.Add(time.Duration(goroutines*each)), got.IndexedAt.Time)
		}
	})
}

func TestEveryPoolHoldsAsManyConnectionsAsItWasGiven(t *testing.T) {
	forEach(t, peers.Options{Synchronous: "normal", Conns: 3}, func(t *testing.T, p peers.Peer, db peers.DB) func(*gen.Queries) {
		if p.Alone {
			require.NoError(t, db.Hold(t.Context(), func() {}))
			return func(*gen.Queries) {}
		}
		most := 3
		if p.Name == "sqlane" {
			most-- // one is for writing
		}
		ctx, cancel := context.WithCancel(t.Context())
		held, release, done := make(chan struct{}), make(chan struct{}), make(chan error)
		for range most + 1 {
			go func() {
				done <- db.Hold(ctx, func() {
					held <- struct{}{}
					<-release
				})
			}()
		}
		for range most {
			<-held
		}
		cancel()
		require.ErrorIs(t, <-done, context.Canceled, "one more waits, and ends with its context")
		close(release)
		for range most {
			require.NoError(t, <-done)
		}
		return func(*gen.Queries) {}
	})
}

func TestEveryPeerSaysHowItIsConfiguredAndWhoRecommendsThat(t *testing.T) {
	for _, p := range peers.All() {
		require.NotEmpty(t, p.Config, p.Name)
		require.NotEmpty(t, p.Source, p.Name)
	}
}

func TestThePeersRunPackageGensText(t *testing.T) {
	var texts string
	for _, name := range []string{"files", "indexing_log"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "gen", name+".sql.go"))
		require.NoError(t, err)
		texts += string(text)
	}
	for name, text := range peers.Texts() {
		require.Contains(t, texts, "const "+name+" = `"+text+"`")
	}
}
