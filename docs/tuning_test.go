package docs

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/internal/guides"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// slow logs what takes longer than it should, and what the time went for.
type slow struct{ limit time.Duration }

func (s slow) Start(ctx context.Context, op pool.TraceOp) (context.Context, func(pool.TraceEnd)) {
	return ctx, func(end pool.TraceEnd) {
		if end.Lane+end.Lock+end.Execution > s.limit {
			slog.Warn("slow", "op", op.Name, "sql", op.SQL, "lane", end.Lane, "lock", end.Lock, "execution", end.Execution)
		}
	}
}

// busyServer is a configuration for much work, with limits.
func busyServer(path string) pool.Config {
	return pool.Config{
		Path:           path,
		Synchronous:    pool.SyncNormal,                           // a power loss may undo the latest commits; the database stays sound
		MaxConns:       16,                                        // more readers at a time
		MinConns:       4,                                         // ready before they are needed
		MaxWaiters:     1000,                                      // one more is pool.ErrOverloaded, instead of a queue without end
		AcquireTimeout: 2 * time.Second,                           // the longest wait for a turn
		Pragmas:        map[string]string{"cache_size": "-16000"}, // KiB of pages for each connection
		Tracer:         slow{100 * time.Millisecond},
	}
}

// optimize renews what SQLite knows of its tables, where that is worth it.
func optimize(ctx context.Context, p *pool.Pool) error {
	_, err := p.Writer().Exec(ctx, "PRAGMA optimize = 0x10002") // https://www.sqlite.org/pragma.html#pragma_optimize
	return err
}

func TestABusyServersConfigurationIsAsItSays(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)

	cfg := busyServer(filepath.Join(t.TempDir(), "app.db"))
	cfg.Tracer = slow{0} // everything
	p, err := pool.Open(t.Context(), cfg)
	require.NoError(t, err)
	require.Equal(t, -16000, number(t, p, "PRAGMA cache_size"))
	require.Equal(t, 1, number(t, p, "PRAGMA synchronous"))
	require.Equal(t, 16, p.Stats().MaxConns)
	_, err = p.Writer().Exec(t.Context(), `CREATE TABLE t (a, b); CREATE INDEX t_a ON t (a);
		WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000) INSERT INTO t SELECT x, x FROM c`)
	require.NoError(t, err)
	require.NoError(t, optimize(t.Context(), p))
	require.Equal(t, 1, number(t, p, "SELECT count(*) FROM sqlite_stat1 WHERE idx = 't_a'"))
	require.NoError(t, p.Close())
	require.Contains(t, log.String(), `sql="PRAGMA optimize = 0x10002" lane=`)
}

func TestTheTableOfStatsNamesWhatThereIs(t *testing.T) {
	_, prose := guides.Read(t, "tuning.md")
	named := 0
	for line := range strings.Lines(prose) {
		if cells := strings.Split(line, "|"); strings.HasPrefix(line, "| `") {
			for _, m := range regexp.MustCompile("`([A-Za-z]+)`").FindAllStringSubmatch(cells[1], -1) {
				named++
				_, ok := reflect.TypeFor[pool.Stats]().FieldByName(m[1])
				require.True(t, ok, m[1])
			}
		}
	}
	require.Greater(t, named, 7)
}
