package pool_test

import (
	"context"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestTheLogIsCheckpointedJustBeforeItsFileIsLargerThanWhatIsKept(t *testing.T) {
	const kept = 16 << 20
	for size, want := range map[string]int64{"512": 32000, "4096": 4000, "65536": 250} {
		p := open(t, pool.Config{MaxConns: 1, Pragmas: map[string]string{"page_size": size}})
		require.Equal(t, want, get(t, p, "PRAGMA wal_autocheckpoint"), "pages of %s bytes", size)
		if size != "65536" {
			continue // it would take long
		}
		largest := int64(0)
		for range 700 {
			require.NoError(t, send(t.Context(), p, "INSERT INTO heap VALUES (zeroblob(60000))"))
			largest = max(largest, p.Stats().WALBytes)
		}
		require.Less(t, largest, int64(kept))
		require.Greater(t, largest, int64(kept*9/10))
	}
}

func TestWhoeverElseSaysWhenTheLogIsCheckpointedIsHeard(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  pool.Config
		want int64
	}{
		"a PRAGMA":             {pool.Config{Pragmas: map[string]string{"WAL_autocheckpoint": "77"}}, 77},
		"external checkpoints": {pool.Config{ExternalCheckpoints: true}, 0},
		"both":                 {pool.Config{ExternalCheckpoints: true, Pragmas: map[string]string{"wal_autocheckpoint": "77"}}, 77},
		"nobody, without one":  {pool.Config{JournalMode: "delete"}, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, c.cfg)
			require.Equal(t, c.want, get(t, p, "PRAGMA wal_autocheckpoint"))
			require.NoError(t, p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
				n, err := number(ctx, tx, "PRAGMA wal_autocheckpoint")
				require.Equal(t, c.want, n)
				return err
			}))
		})
	}
}
