package pool_test

import (
	"fmt"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

func TestVirtualTablesAreReadOnceForAllWhoWatch(t *testing.T) {
	p := open(t, pool.Config{HealthCheckInterval: -1})
	begin := func() uint64 {
		return did(p, func() { watching(t, p, "SELECT count(*) FROM n").next() }).StatementHits
	}
	first := begin()
	second := begin()
	require.Less(t, second, first)
	require.Equal(t, second, begin())
}

// TestAVirtualTableThatIsNewIsKnownToWhoWatchesIt: what the table reads by has been
// prepared before, so that only its declaration tells of it.
func TestAVirtualTableThatIsNewIsKnownToWhoWatchesIt(t *testing.T) {
	const query = "SELECT ifnull(group_concat(b), '') FROM indexed"
	p := open(t, pool.Config{MaxConns: 2})
	w := watching(t, p, "SELECT count(*) FROM parent")
	w.expect("0")
	run(t, p, "CREATE VIRTUAL TABLE indexed USING fts5(b, content = 'heap')")
	w.expect("0")
	run(t, p, "SELECT b FROM indexed")
	late := watching(t, p, query)
	late.expect("")
	run(t, p, "INSERT INTO heap VALUES ('text')")
	late.expect("text")
}

// The modules of both are known once they have been read.
func TestWhatReadsNoTableIsWokenByNone(t *testing.T) {
	for _, query := range []string{"SELECT count(*) FROM json_each('[1]')", "SELECT count(*) FROM json_tree('[1]')", "SELECT count(*) FROM pragma_table_info('n')"} {
		p := open(t, pool.Config{})
		quiet := watching(t, p, query)
		quiet.next()
		w := watching(t, p, "SELECT count(*) FROM heap")
		w.expect("0")
		for i := range 20 {
			run(t, p, "INSERT INTO heap VALUES (1)")
			w.expect(fmt.Sprint(i + 1))
		}
		require.EqualValues(t, 1, quiet.runs.Load(), query)
	}
}

func TestWhatReadsByAModuleThatMayReadAnythingIsWokenByAnyTable(t *testing.T) {
	p := open(t, pool.Config{})
	w := watching(t, p, "SELECT sum(pgsize) FROM dbstat")
	before := w.next()
	run(t, p, "INSERT INTO heap VALUES (zeroblob(100000))")
	require.NotEqual(t, before, w.next())
}
