package peers

import (
	"database/sql"
	"errors"

	"modernc.org/sqlite"
)

func modernc() []Peer {
	return bothWays(dialect{
		name: "modernc", module: "modernc.org/sqlite", modernc: true,
		dsn: func(o Options) string {
			return "file:" + o.Path + "?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_pragma=synchronous(" + o.Synchronous + ")"
		},
		adHocSource: "https://pkg.go.dev/modernc.org/sqlite#Driver.Open",
		tunedSource: "https://github.com/mattn/go-sqlite3/issues/1179#issuecomment-1638083995, which holds for all drivers",
		open:        func(dsn string) (*sql.DB, error) { return sql.Open("sqlite", dsn) },
		busy: func(err error) bool {
			var e *sqlite.Error
			return errors.As(err, &e) && isBusy(e.Code())
		},
	})
}
