package peers

import (
	"database/sql"
	"errors"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
)

func ncruces() []Peer {
	return bothWays(dialect{
		name: "ncruces", module: "github.com/ncruces/go-sqlite3",
		dsn: func(o Options) string {
			return "file:" + o.Path + "?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=foreign_keys(on)&_pragma=synchronous(" + o.Synchronous + ")"
		},
		adHocSource: "https://pkg.go.dev/github.com/ncruces/go-sqlite3/driver",
		tunedSource: "https://github.com/mattn/go-sqlite3/issues/1179#issuecomment-1638083995, which holds for all drivers",
		open:        func(dsn string) (*sql.DB, error) { return driver.Open(dsn) },
		busy:        func(err error) bool { return errors.Is(err, sqlite3.BUSY) || errors.Is(err, sqlite3.LOCKED) },
	})
}
