package lane_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/stretchr/testify/require"
)

func TestAQueueTellsWhoWaitsInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(2, &lane.Waiters{})
		began := time.Now()
		queue := func(limit int) (all []any) {
			l.Queue(limit, func(who any, since time.Time) {
				require.Equal(t, began, since)
				all = append(all, who)
			})
			return all
		}
		require.Empty(t, queue(10))
		for range 2 {
			require.NoError(t, l.Lock(t.Context(), lane.Shared, lane.Wait{}))
		}
		waits := func(who any, want lane.Access, uncounted bool) *laneCall {
			c := callLane(t, func(ctx context.Context) error {
				return l.Lock(ctx, want, lane.Wait{Timeout: forever, Who: who, Uncounted: uncounted})
			})
			synctest.Wait()
			return c
		}
		first := waits("first", lane.Exclusive, false)
		waits("housekeeping", lane.Exclusive, true)
		second := waits("second", lane.Shared, false)
		upgrader := promoteIn(t, l)
		require.Equal(t, []any{nil, "first", "second"}, queue(10))
		require.Equal(t, []any{nil, "first"}, queue(2), "no more than are wanted")
		for _, c := range []*laneCall{first, second, upgrader} {
			c.cancel()
			require.ErrorIs(t, <-c.answer, context.Canceled)
		}
		require.Empty(t, queue(10))
		l.Close()
	})
}
