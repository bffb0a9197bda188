package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatWouldEndTheNodeIsNotSent(t *testing.T) {
	c := answering(t, leaderStep)
	for _, text := range []string{
		"PRAGMA journal_mode=DELETE",
		"pragma Journal_Mode (off)",
		"PRAGMA main.journal_mode = memory;",
		"PRAGMA\n/* so */ [main] . \"journal_mode\" -- a comment\n = 'truncate'",
		"EXPLAIN PRAGMA journal_mode=DELETE",
		"EXPLAIN QUERY PLAN PRAGMA page_size=512",
		"PRAGMA page_size = 8192",
		"PRAGMA wal_checkpoint",
		"PRAGMA wal_checkpoint(TRUNCATE)",
		"PRAGMA wal_autocheckpoint=1",
		"SELECT 1; -- and\nPRAGMA wal_checkpoint",
	} {
		_, err := c.Exec(within(t), text, nil)
		require.ErrorContains(t, err, "would end the node", text)
		_, err = c.Query(within(t), text, nil)
		require.ErrorContains(t, err, "would end the node", text)
		_, err = c.Prepare(within(t), text)
		require.ErrorContains(t, err, "would end the node", text)
	}
	usable(t, c)
}

func TestOtherPragmasAreSent(t *testing.T) {
	for _, text := range []string{
		"PRAGMA journal_mode",
		"PRAGMA journal_mode = WAL",
		"PRAGMA main.journal_mode('wal')",
		"PRAGMA page_size",
		"PRAGMA wal_autocheckpoint",
		"PRAGMA table_info(journal_mode)",
		"PRAGMA user_version = 3",
		"EXPLAIN QUERY PLAN SELECT page_size FROM t WHERE page_size = 3",
		"INSERT INTO t VALUES ('PRAGMA journal_mode=DELETE')",
	} {
		c := answering(t, step{message(8, 0, text), message(6, 0, 0)})
		_, err := c.Exec(within(t), text, nil)
		require.NoError(t, err, text)
	}
}
