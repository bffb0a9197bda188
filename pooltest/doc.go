// Package pooltest gives tests databases of their own, looks at them when the test
// is over, brings faults about, and checks the plans of queries:
//
//	//go:embed *.sql
//	var migrations embed.FS
//
//	func TestTransfer(t *testing.T) {
//		p := pooltest.New(t, pooltest.Migrations(migrations))
//		r := repo.New(p)
//		...
//		pooltest.Fail(t, p, pooltest.DiskFull)
//		require.Error(t, transfer(t.Context(), r))
//		pooltest.Heal(t, p)
//		...
//	}
//
//	func TestPlans(t *testing.T) {
//		p := pooltest.New(t, pooltest.Migrations(migrations))
//		pooltest.Plans(t, p, repo.Statements(), pooltest.NoScan,
//			pooltest.Waive("ListTabs", "is asked for all of them"))
//	}
//
// # A database
//
// [New] opens a pool on an empty database in memory, or in a file ([File]). With
// [Migrations] it is a copy of a template, which a process migrates once, however
// many tests ask for it. Each test has a database of its own, so they may run in
// parallel.
//
// # At the end
//
// When the test and its cleanups, as far as they were registered after New, are over,
// the pool is closed and looked at. The test fails, and says why, if
//
//   - a lease was not given back: a row left open and a transaction not ended hold
//     one too. The failure names the line that took it, as one that became garbage
//     before its Release does. What ends with the test's context is given a second;
//   - a transaction begun as text on a *sql.DB, or anything else that is rolled back
//     or taken back on closing, was left;
//   - PRAGMA integrity_check or foreign_key_check finds something;
//   - a goroutine that the test has started is still inside the pool. Those of
//     others, and what the test does elsewhere, are not its business. Goroutines are
//     told apart by a profiler label, "pooltest", that New sets on the goroutine that
//     calls it.
//
// A test may close the pool itself. In memory nothing is left to look at then.
//
// # Faults
//
// [Fail] brings about what does happen to databases: SQLite really meets it, and the
// pool is told of it by SQLite, not by a mock.
package pooltest
