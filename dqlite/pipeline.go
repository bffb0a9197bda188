package dqlite

import (
	"cmp"
	"context"
	"time"

	"github.com/sqlane/sqlane/internal/lane"
	"github.com/sqlane/sqlane/internal/wire"
	lib "modernc.org/sqlite/lib"
)

// A pipeline is bounded, so that what is sent and what is answered fits into the buffers of
// two sockets: a node that waits for its answers to be read takes no requests meanwhile. Of
// slow statements it has the lesser number, so that the time of a batch stays bounded too.
const (
	minPipelined      = 16
	maxPipelined      = 128
	maxPipelinedBytes = 32 << 10
)

// guard stands between the statements of a pipeline. Some failures have SQLite undo the whole
// transaction (https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction),
// and what is behind them was sent already: each would commit for itself. By the guard it
// runs in a transaction in any case, and how the guard fares tells in which. In one that is
// open BEGIN fails and changes nothing.
var guard = wire.Request{Query: "BEGIN"}

// isPlain reports that a statement may go together with others: its answer is short, and it
// leaves nothing on the connection.
func (st *statement) isPlain() bool { return !st.rows && !st.several && !st.marks }

// size is about how many bytes the statement takes on the wire.
func (st *statement) size() int {
	n := len(st.text)
	for _, arg := range st.args {
		n += 16
		switch arg := arg.(type) {
		case string:
			n += len(arg)
		case []byte:
			n += len(arg)
		}
	}
	return n
}

// claim takes those who wait next, and whose statements may go together, out of the queue: as
// many as the batch has time for, if they take no longer than those before them.
func (b *batch) claim() (all []*lane.Waiter) {
	spent := time.Since(b.began)
	limit := int((maxBatchTime - spent) / max(spent/time.Duration(b.joined), 1))
	limit = min(max(limit, minPipelined), maxPipelined)
	for room := maxPipelinedBytes; len(all) < limit; {
		size := 0
		w := b.tx.store.write.Claim(func(payload any) bool {
			st := payload.(*member).st
			if st == nil || !st.isPlain() {
				return false
			}
			size = st.size()
			return size <= room
		})
		if w == nil {
			break
		}
		room -= size
		all = append(all, w)
	}
	return all
}

// pipeline runs the statements of members in one round trip, and returns the members whose
// statement met a lock, to be run again.
func (b *batch) pipeline(all []*lane.Waiter) (busy []*lane.Waiter) {
	c := b.tx.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	requests := make([]wire.Request, 0, 2*len(all))
	for _, w := range all {
		st := w.Payload().(*member).st
		requests = append(requests, guard, wire.Request{Query: st.text, Args: st.args})
	}
	replies := c.execAll(context.Background(), requests[1:]) // the first one's transaction was there before
	for i, w := range all {
		m := w.Payload().(*member)
		certain := i == 0 || b.guarded(replies[2*i-1].Err)
		reply := &replies[2*i]
		m.res = m.st.changed(reply.Result)
		switch err := reply.Err; {
		case !certain && (err == nil || isDoubtful(err)):
			b.tx.store.counts.unknown.Add(1)
			m.err = b.tx.store.fail("batch", ErrCommitUnknown, cmp.Or(err, b.broken))
		case err == nil && b.broken == nil:
			b.joined++
		case err == nil || b.broken != nil && !isGone(err): // it ran in what is not kept, and runs again
		case isBusy(err):
			b.tx.store.counts.busy.Add(1)
			busy = append(busy, w)
			continue
		default:
			m.err = b.failed(context.Background(), m, err)
		}
		b.told(w)
	}
	return busy
}

// guarded looks at what became of a guard, and reports whether what came behind it ran in a
// transaction for certain.
func (b *batch) guarded(err error) bool {
	switch {
	case err == nil: // there was none any more, and it began one that is not kept
		b.breakUp(errUndone)
	case !hasCode(err, lib.SQLITE_ERROR) && !b.tx.conn.broken():
		b.breakUp(err)
		return false
	}
	return true
}
