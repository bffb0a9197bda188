package compat

import (
	"database/sql"
	"testing"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"
	"entgo.io/ent/schema/field"
	"github.com/stretchr/testify/require"
)

// entFamily are the family's tables as ent's generated code gives them to its
// migrator; required is the change of a column for which that rebuilds the parents.
func entFamily(required bool) []*schema.Table {
	id := &schema.Column{Name: "id", Type: field.TypeInt, Increment: true}
	v := &schema.Column{Name: "v", Type: field.TypeString, Nullable: !required}
	parent := &schema.Table{Name: "parent", Columns: []*schema.Column{id, v}, PrimaryKey: []*schema.Column{id}}
	kid := &schema.Column{Name: "id", Type: field.TypeInt, Increment: true}
	pid := &schema.Column{Name: "pid", Type: field.TypeInt, Nullable: true}
	child := &schema.Table{Name: "child", Columns: []*schema.Column{kid, pid}, PrimaryKey: []*schema.Column{kid}}
	child.ForeignKeys = []*schema.ForeignKey{{
		Symbol: "child_parent", Columns: []*schema.Column{pid}, RefTable: parent, RefColumns: []*schema.Column{id}, OnDelete: schema.Cascade,
	}}
	return []*schema.Table{parent, child}
}

func TestEntRebuildsATableAndTheChildrenStay(t *testing.T) {
	beside(t, func(t *testing.T, db *sql.DB, _ bool) {
		m, err := schema.NewMigrate(entsql.OpenDB(dialect.SQLite, db), schema.WithDropColumn(true), schema.WithDropIndex(true))
		require.NoError(t, err)
		require.NoError(t, m.Create(t.Context(), entFamily(false)...))
		_, err = db.ExecContext(t.Context(), "INSERT INTO parent (v) VALUES ('a'), ('b'); INSERT INTO child (pid) VALUES (1), (2)")
		require.NoError(t, err)
		for _, required := range []bool{true, true, false} {
			require.NoError(t, m.Create(t.Context(), entFamily(required)...))
			require.Equal(t, required, number(t, db, "SELECT \"notnull\" FROM pragma_table_info('parent') WHERE name = 'v'") == 1)
			requireCount(t, 2, db, "parent")
			requireCount(t, 2, db, "child")
			_, err = db.ExecContext(t.Context(), "INSERT INTO child (pid) VALUES (99)")
			require.ErrorContains(t, err, "FOREIGN KEY")
		}
	})
}

func TestEntLeavesForeignKeysOnAfterAMigrationThatFails(t *testing.T) {
	beside(t, func(t *testing.T, db *sql.DB, _ bool) {
		m, err := schema.NewMigrate(entsql.OpenDB(dialect.SQLite, db))
		require.NoError(t, err)
		require.NoError(t, m.Create(t.Context(), entFamily(false)...))
		_, err = db.ExecContext(t.Context(), "INSERT INTO parent (v) VALUES (NULL), ('b'); INSERT INTO child (pid) VALUES (1), (2)")
		require.NoError(t, err)
		faulty := entFamily(true)
		faulty[0].Columns[1].Type = field.TypeJSON
		faulty[0].Columns[1].Unique = true
		faulty[0].Indexes = []*schema.Index{{Name: "nowhere", Columns: []*schema.Column{{Name: "nowhere"}}}}
		require.Error(t, m.Create(t.Context(), faulty...))
		require.Equal(t, 1, number(t, db, "PRAGMA foreign_keys"))
		requireCount(t, 2, db, "child")
	})
}
