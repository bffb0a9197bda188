module github.com/sqlane/sqlane/cluster/bench

go 1.26.0

replace (
	// The copy that Debian's golang-github-canonical-go-dqlite-dev installs: it goes with
	// Debian's libdqlite.
	github.com/canonical/go-dqlite => /usr/share/gocode/src/github.com/canonical/go-dqlite
	github.com/sqlane/sqlane => ../..
)

// What its commands need, and its client does not.
exclude (
	github.com/peterh/liner v1.2.1
	github.com/spf13/cobra v1.2.1
)

require (
	github.com/canonical/go-dqlite v1.11.5
	github.com/sqlane/sqlane v0.0.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/Rican7/retry v0.3.0 // indirect
	github.com/dustin/go-humanize v1.1.0 // indirect
	github.com/ghodss/yaml v1.0.0 // indirect
	github.com/google/renameio v1.0.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/mattn/go-sqlite3 v1.14.53 // indirect
	github.com/ncruces/go-strftime v1.1.0 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.49.0 // indirect
	gopkg.in/yaml.v2 v2.4.0 // indirect
	modernc.org/libc v1.79.0 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
	modernc.org/sqlite v1.61.1 // indirect
)
