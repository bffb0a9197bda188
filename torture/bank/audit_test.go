package bank_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/torture/bank"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const writers, each = 4, 25

// worked is a database after each of two runs, with their promises.
type worked struct {
	content [2][]byte
	acks    [2][]bank.Ack
}

func work(t *testing.T) (w worked) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bank.db")
	for i := range w.content {
		setup := bank.Setup{Path: path, Journal: "wal", Synchronous: "off", Run: i + 1, Seed: 1}
		p, err := setup.Open(t.Context())
		require.NoError(t, err)
		for seq := 1; seq <= each; seq++ {
			for writer := range writers {
				ack, err := setup.Move(t.Context(), p, writer, seq)
				require.NoError(t, err)
				w.acks[i] = append(w.acks[i], ack)
			}
		}
		require.NoError(t, p.Close())
		w.content[i], err = os.ReadFile(path)
		require.NoError(t, err)
	}
	return w
}

// place lays the database down as the second run has left it, for an auditor who
// has seen the first.
func (w worked) place(t *testing.T) (auditor *bank.Auditor, path string, acks []bank.Ack) {
	t.Helper()
	auditor, path = new(bank.Auditor), filepath.Join(t.TempDir(), "bank 100%.db")
	require.NoError(t, os.WriteFile(path, w.content[0], 0o600))
	lost, err := auditor.Audit(t.Context(), path, 1, w.acks[0])
	require.NoError(t, err)
	require.Zero(t, lost)
	require.NoError(t, os.WriteFile(path, w.content[1], 0o600))
	return auditor, path, w.acks[1]
}

func TestAnHonestLedgerPasses(t *testing.T) {
	auditor, path, acks := work(t).place(t)
	for range 2 {
		lost, err := auditor.Audit(t.Context(), path, 2, acks)
		require.NoError(t, err)
		require.Zero(t, lost)
	}
	// The last movement of each writer may have been on its way.
	_, err := auditor.Audit(t.Context(), path, 2, acks[:len(acks)-writers])
	require.NoError(t, err)
}

func TestTheNewestMayBeMissingAndAreCounted(t *testing.T) {
	auditor, path, acks := work(t).place(t)
	last := acks[len(acks)-1]
	acks = append(acks, bank.Ack{Writer: 0, Seq: each + 1, ID: last.ID + 1}, bank.Ack{Writer: 1, Seq: each + 1, ID: last.ID + 2})
	lost, err := auditor.Audit(t.Context(), path, 2, acks)
	require.NoError(t, err)
	require.Equal(t, 2, lost)
}

func TestTheAuditFindsEachPlantedFault(t *testing.T) {
	w := work(t)
	const copied = "INSERT INTO entry (run, writer, seq, debit, credit, amount, note) SELECT run, writer, seq, debit, credit, 0, note FROM entry WHERE id = (SELECT max(id) FROM entry)"
	for name, fault := range map[string]struct {
		script string
		lost   int
	}{
		"half a transaction: a balance":      {"UPDATE account SET balance = balance - 1 WHERE id = 1", 0},
		"half a transaction: both balances":  {"UPDATE account SET balance = balance - 1 WHERE id = 1; UPDATE account SET balance = balance + 1 WHERE id = 2", 0},
		"half a transaction: the entry":      {"UPDATE entry SET amount = amount + 1 WHERE id = 150", 0},
		"one of the middle is lost":          {"UPDATE entry SET amount = 0; UPDATE account SET base = balance; DELETE FROM entry WHERE id = 150", 1},
		"an earlier run's last one is lost":  {"UPDATE entry SET amount = 0; UPDATE account SET base = balance; DELETE FROM entry WHERE id = 100", 0},
		"the newest is lost, the number not": {"UPDATE entry SET amount = 0; UPDATE account SET base = balance; DELETE FROM entry WHERE id = 200", 1},
		"one is there twice":                 {copied, 0},
		"two have changed places":            {"UPDATE entry SET id = -1 WHERE id = 150; UPDATE entry SET id = 150 WHERE id = 154; UPDATE entry SET id = 154 WHERE id = -1", 2},
		"one has become another writer's":    {"UPDATE entry SET writer = 2 WHERE id = 150", 1},
		"a note is damaged":                  {"UPDATE entry SET note = zeroblob(length(note)) WHERE id = 150", 0},
		"all entries are gone":               {"UPDATE account SET base = balance; DELETE FROM entry", 100},
		"an account is gone":                 {"PRAGMA foreign_keys = off; DELETE FROM account WHERE id = 3", 0},
		"a foreign key dangles":              {"PRAGMA foreign_keys = off; UPDATE entry SET credit = 99, amount = 0 WHERE id = 150", 0},
		"everything is gone":                 {"DROP TABLE entry; DROP TABLE account", 100},
		"the index lacks an entry":           {"PRAGMA writable_schema = on; DELETE FROM sqlite_schema WHERE name = 'entry_debit'; PRAGMA writable_schema = reset; INSERT INTO entry (run, writer, seq, debit, credit, amount, note) SELECT 1, 1, 1, 1, 1, 0, x''", 0},
	} {
		t.Run(name, func(t *testing.T) {
			auditor, path, acks := w.place(t)
			tamper(t, path, fault.script)
			lost, err := auditor.Audit(t.Context(), path, 2, acks)
			require.Error(t, err)
			require.Equal(t, fault.lost, lost)
		})
	}
}

func tamper(t *testing.T, path, script string) {
	t.Helper()
	p, err := pool.Open(t.Context(), pool.Config{Path: path, JournalMode: "delete", MaxConns: 1})
	require.NoError(t, err)
	require.NoError(t, p.Close())
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(context.Background(), script)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

func TestTheAuditFindsADamagedPage(t *testing.T) {
	auditor, path, acks := work(t).place(t)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	info, err := f.Stat()
	require.NoError(t, err)
	for at := int64(4096 + 100); at < info.Size(); at += 4096 {
		_, err = f.WriteAt([]byte("rubbish"), at)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	_, err = auditor.Audit(t.Context(), path, 2, acks)
	require.Error(t, err)
}
