//go:build mattn

package peers

import (
	"database/sql"
	"errors"

	"github.com/mattn/go-sqlite3"
)

// mattn is there with the tag "mattn": it needs cgo, and registers itself under
// the name that ncruces takes too, so one of them has to be renamed when the
// program is linked. See the Makefile.
func mattn() []Peer {
	return bothWays(dialect{
		name: "mattn", module: "github.com/mattn/go-sqlite3",
		dsn: func(o Options) string {
			return "file:" + o.Path + "?_txlock=immediate&_busy_timeout=5000&_journal_mode=WAL&_foreign_keys=on&_synchronous=" + o.Synchronous
		},
		adHocSource: "https://github.com/mattn/go-sqlite3#connection-string",
		tunedSource: "https://github.com/mattn/go-sqlite3#faq (SetMaxOpenConns(1)) and https://github.com/mattn/go-sqlite3/issues/1179#issuecomment-1638083995",
		open:        func(dsn string) (*sql.DB, error) { return sql.Open("sqlite3", dsn) },
		busy: func(err error) bool {
			var e sqlite3.Error
			return errors.As(err, &e) && isBusy(int(e.Code))
		},
	})
}
