package migrate_test

import (
	"testing"

	"github.com/sqlane/sqlane/migrate"
	"github.com/stretchr/testify/require"
)

// family is a parent with children of every kind.
const family = `
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER NOT NULL REFERENCES parent ON DELETE CASCADE);
CREATE TABLE orphaned (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent (id) ON DELETE SET NULL);
CREATE TABLE keyed (a TEXT, b INTEGER, parent_id INTEGER REFERENCES parent (id) ON DELETE CASCADE, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE restricted (parent_id INTEGER REFERENCES parent (id) ON DELETE RESTRICT);
INSERT INTO parent VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO child VALUES (10, 1), (11, 2), (12, 2);
INSERT INTO orphaned VALUES (20, 1), (21, NULL);
INSERT INTO keyed VALUES ('it''s', 1, 3), ('y', 2, 1);
INSERT INTO restricted VALUES (3);
---
DROP TABLE restricted; DROP TABLE keyed; DROP TABLE orphaned; DROP TABLE child; DROP TABLE parent;
`

// members are all rows of the family.
const members = `SELECT (SELECT group_concat(id || name) FROM parent) || ' ' || (SELECT group_concat(id || '>' || parent_id) FROM child) || ' ' ||
	(SELECT group_concat(id || '>' || ifnull(parent_id, '')) FROM orphaned) || ' ' || (SELECT group_concat(a || b || '>' || parent_id) FROM keyed) || ' ' ||
	(SELECT group_concat(parent_id) FROM restricted)`

const rebuild = `
CREATE TABLE new_parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL CHECK (name <> ''), age INTEGER);
INSERT INTO new_parent (id, name) SELECT id, name FROM parent;
DROP TABLE parent;
ALTER TABLE new_parent RENAME TO parent;
`

const rebuildBack = `
CREATE TABLE new_parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO new_parent SELECT id, name FROM parent;
DROP TABLE parent;
ALTER TABLE new_parent RENAME TO parent;
`

// spellings are the ways to write a rebuild.
func spellings() map[string]string {
	around := func(before, after string) string {
		return before + rebuild + after + "\n---\n" + before + rebuildBack + after
	}
	return map[string]string{
		"plain":                       around("", ""),
		"with PRAGMAs":                around("PRAGMA foreign_keys=OFF;", "PRAGMA foreign_keys=ON;"),
		"with PRAGMAs, checked":       around("PRAGMA foreign_keys = 0;", "PRAGMA foreign_key_check;\nPRAGMA foreign_keys = 1;"),
		"with PRAGMAs of other sorts": around("PRAGMA main.foreign_keys(false);", "pragma \"foreign_keys\" = 'yes';"),
		"switched on at its start":    around("PRAGMA foreign_keys=ON;", ""),
		"switched on in a savepoint":  around("SAVEPOINT s; PRAGMA foreign_keys=ON; ROLLBACK TO s; PRAGMA foreign_keys=ON; RELEASE s; PRAGMA foreign_keys=ON;", ""),
		"deferred":                    around("PRAGMA defer_foreign_keys=ON;", ""),
		"in one statement for goose":  around("-- +goose StatementBegin\nPRAGMA foreign_keys=ON; PRAGMA foreign_keys=OFF;", "PRAGMA foreign_keys=ON;\n-- +goose StatementEnd"),
		"NO TRANSACTION":              noTx + around("PRAGMA foreign_keys=OFF;\nBEGIN;", "COMMIT;\nPRAGMA foreign_keys=ON;"),
		"NO TRANSACTION, left off":    noTx + around("PRAGMA foreign_keys=OFF;", ""),
	}
}

func TestARebuildOfAParentKeepsTheChildrenHoweverItIsWritten(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		for name, spelling := range spellings() {
			t.Run(name, func(t *testing.T) {
				m := migrator(t, files(family, spelling))
				require.NoError(t, m.To(t.Context(), d, 1))
				before := one(t, d, members)
				require.NoError(t, m.Up(t.Context(), d))
				require.Equal(t, "1", one(t, d, "SELECT count(*) FROM pragma_table_xinfo('parent') WHERE name = 'age'"))
				require.Equal(t, before, one(t, d, members))
				require.NoError(t, m.Validate(t.Context(), d))
				_, err := d.DB().ExecContext(t.Context(), "INSERT INTO child VALUES (99, 99)")
				require.ErrorContains(t, err, "FOREIGN KEY constraint failed")
				require.NoError(t, m.Down(t.Context(), d))
				require.Equal(t, before, one(t, d, members))
				requireEnforced(t, d)
				require.NoError(t, m.Down(t.Context(), d))
			})
		}
	})
}

func TestNothingCascadesInAMigration(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		m := migrator(t, files(family, "DELETE FROM child WHERE parent_id = 2; DELETE FROM parent WHERE id = 2;", "DELETE FROM parent WHERE id = 1;"))
		require.ErrorContains(t, m.Up(t.Context(), d), `table "child" (parent_id), rowid 10:`)
		require.EqualValues(t, 2, version(t, m, d))
		require.Equal(t, "10>1", one(t, d, "SELECT group_concat(id || '>' || parent_id) FROM child"))
	})
}

func TestAMigrationThatBreaksAReferenceIsRolledBackAndNamesTableRowsAndParent(t *testing.T) {
	for name, c := range map[string]struct {
		make, breaks string
		want         []string
	}{
		"a row of each kind of table": {
			family, "DELETE FROM parent WHERE id = 3; UPDATE child SET parent_id = 7 WHERE id > 10; UPDATE orphaned SET parent_id = -1;",
			[]string{
				`table "child" (parent_id), rowid 11; rowid 12: there is no such row in table "parent"`,
				`table "keyed" (parent_id), a 'it''s', b 1: there is no such row in table "parent"`,
				`table "orphaned" (parent_id), rowid 20; rowid 21: there is no such row in table "parent"`,
				`table "restricted" (parent_id), rowid 1: there is no such row in table "parent"`,
			},
		},
		"a rebuild that loses the children's parents": {
			family, "CREATE TABLE n (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO n SELECT id + 100, name FROM parent; DROP TABLE parent; ALTER TABLE n RENAME TO parent;",
			[]string{`table "child" (parent_id), rowid 10; rowid 11; rowid 12: there`, `table "keyed" (parent_id), a 'it''s', b 1; a 'y', b 2: there`},
		},
		"a parent that is dropped": {
			family, "DROP TABLE parent;",
			[]string{`table "child" (parent_id), rowid 10; rowid 11; rowid 12: there is no such row in table "parent"`, `table "keyed" (parent_id), a 'it''s', b 1; a 'y', b 2: there`},
		},
		"keys of several columns, and names that need quotes": {
			`CREATE TABLE "the ""parent" (a, b, UNIQUE (a, b)); CREATE TABLE "the 'child" ("x ""'y", z, PRIMARY KEY ("x ""'y", z), FOREIGN KEY ("x ""'y", z) REFERENCES "the ""parent" (a, b)) WITHOUT ROWID;
			INSERT INTO "the ""parent" VALUES (1, 2), (3, 4), (5, NULL); INSERT INTO "the 'child" VALUES (1, 2), (3, 4);`,
			`UPDATE "the ""parent" SET b = 5 WHERE a = 3;`,
			[]string{`table "the 'child" (x "'y, z), x "'y 3, z 4: there is no such row in table "the \"parent"`},
		},
		"a parent that has no such key any more": {
			"CREATE TABLE p (a UNIQUE); CREATE TABLE c (a REFERENCES p (a)); INSERT INTO p VALUES (1); INSERT INTO c VALUES (1);",
			"CREATE TABLE n (a); INSERT INTO n SELECT a FROM p; DROP TABLE p; ALTER TABLE n RENAME TO p;",
			[]string{`table "c": `, `foreign key mismatch - "c" referencing "p"`},
		},
		"a WITHOUT ROWID table whose parent's key is meant": {
			"CREATE TABLE p (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID; CREATE TABLE c (k PRIMARY KEY, x, y, FOREIGN KEY (x, y) REFERENCES p) WITHOUT ROWID; INSERT INTO p VALUES (1, 2); INSERT INTO c VALUES (x'00', 2, 1), (2, 1, NULL);",
			"UPDATE p SET a = 7;",
			[]string{`table "c" (x, y), k X'00': there is no such row in table "p"`},
		},
		"values that are alike but for their type, or their case": {
			"CREATE TABLE p (a UNIQUE, b TEXT UNIQUE COLLATE NOCASE, c INTEGER UNIQUE); INSERT INTO p VALUES (1, 'x', 5); CREATE TABLE c (k PRIMARY KEY, a TEXT REFERENCES p (a), b REFERENCES p (b), c TEXT REFERENCES p (c)) WITHOUT ROWID;",
			"INSERT INTO c VALUES (1, '1', 'X', '5'), (2, NULL, 5, '6');",
			[]string{`table "c" (a), k 1: there`, `table "c" (b), k 2: there`, `table "c" (c), k 2: there`},
		},
		"many": {
			family, "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 149) INSERT INTO child SELECT i, i FROM n;",
			[]string{"rowid 100; rowid 101; rowid 102; rowid 103; rowid 104; rowid 105; rowid 106; rowid 107; rowid 108; rowid 109 and 40 more: there"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, d migrate.Database) {
				m := migrator(t, files(c.make, c.breaks))
				require.NoError(t, m.To(t.Context(), d, 1))
				err := m.Up(t.Context(), d)
				require.ErrorContains(t, err, "migrate: up migration 2 (00002_step.sql): it breaks references: ")
				for _, want := range c.want {
					require.ErrorContains(t, err, want)
				}
				require.EqualValues(t, 1, version(t, m, d))
				require.Equal(t, "0", one(t, d, "SELECT count(*) FROM pragma_foreign_key_check"))
				requireEnforced(t, d)
			})
		})
	}
}

func TestWhatIsBrokenWithoutATransactionIsNotRecordedUntilItIsMended(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		breaks := noTx + "PRAGMA foreign_keys=OFF; DELETE FROM parent WHERE id = 3;"
		require.NoError(t, migrator(t, files(family)).Up(t.Context(), d))
		m := migrator(t, files(family, breaks))
		err := m.Up(t.Context(), d)
		require.ErrorContains(t, err, `what it did outside a transaction stays, and its version is not recorded: it breaks references: table "keyed" (parent_id), a 'it''s', b 1: there`)
		require.EqualValues(t, 1, version(t, m, d))
		requireEnforced(t, d)
		require.Equal(t, "0", one(t, d, "SELECT count(*) FROM parent WHERE id = 3"))

		m = migrator(t, files(family, breaks+" DELETE FROM keyed WHERE parent_id = 3; DELETE FROM restricted;"))
		require.NoError(t, m.Up(t.Context(), d))
		require.EqualValues(t, 2, version(t, m, d))
		requireEnforced(t, d)
	})
}

func TestReferencesAreEnforcedWithoutATransactionUnlessTheFileSwitchesThemOff(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		m := migrator(t, files(family, noTx+"DELETE FROM restricted; DELETE FROM parent WHERE id = 3;"))
		require.NoError(t, m.Up(t.Context(), d))
		require.Equal(t, "0", one(t, d, "SELECT count(*) FROM keyed WHERE parent_id = 3"), "they cascade")
	})
}

func TestWhatWasBrokenBeforeIsNotTheMigrationsFault(t *testing.T) {
	everywhere(t, func(t *testing.T, d migrate.Database) {
		require.NoError(t, migrator(t, files(family)).Up(t.Context(), d))
		conn, err := d.DB().Conn(t.Context())
		require.NoError(t, err)
		for _, statement := range []string{
			"PRAGMA foreign_keys=OFF",
			"INSERT INTO child VALUES (13, 13)",
			"INSERT INTO keyed VALUES ('z', 3, 14)",
			"CREATE TABLE void (a REFERENCES parent (name))",
			"PRAGMA foreign_keys=ON",
		} {
			_, err := conn.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		require.NoError(t, conn.Close())

		steps := []string{family, rebuild, noTx + "ALTER TABLE parent ADD COLUMN more;"}
		m := migrator(t, files(steps...))
		require.NoError(t, m.Up(t.Context(), d))
		m = migrator(t, files(append(steps, "UPDATE keyed SET parent_id = 15 WHERE a = 'y'; UPDATE child SET parent_id = 16 WHERE id = 10;")...))
		err = m.Up(t.Context(), d)
		require.EqualError(t, err, `migrate: up migration 4 (00004_step.sql): it breaks references: table "child" (parent_id), rowid 10: there is no such row in table "parent"`+"\n"+
			`table "keyed" (parent_id), a 'y', b 2: there is no such row in table "parent"`)
		require.EqualValues(t, 3, version(t, m, d))
	})
}
