package compat

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// gormParent is the family's parent as GORM makes it, and the two others are the
// same with another column and with a constraint, for which GORM rebuilds the table.
type (
	gormParent struct {
		ID       int64
		V        *string
		Note     string
		Children []gormChild `gorm:"foreignKey:PID;constraint:OnDelete:CASCADE"`
	}
	gormParentNext struct {
		ID       int64
		V        string `gorm:"not null;default:none"`
		Note     string
		Children []gormChild `gorm:"foreignKey:PID;constraint:OnDelete:CASCADE"`
	}
	gormParentChecked struct {
		ID   int64
		V    *string `gorm:"check:named,v <> ''"`
		Note string
	}
	gormChild struct {
		ID, PID int64
	}
)

func (gormParent) TableName() string        { return "parent" }
func (gormParentNext) TableName() string    { return "parent" }
func (gormParentChecked) TableName() string { return "parent" }
func (gormChild) TableName() string         { return "child" }

// gormOn opens GORM on a *sql.DB, with its dialect's own driver left alone, and
// has two parents with a child each made by it.
func gormOn(t *testing.T, db *sql.DB) *gorm.DB {
	t.Helper()
	g, err := gorm.Open(sqlite.Dialector{Conn: db}, &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	require.NoError(t, g.AutoMigrate(&gormParent{}, &gormChild{}))
	a := "a"
	require.NoError(t, g.Create(&[]gormParent{{V: &a, Children: []gormChild{{}}}, {V: &a, Children: []gormChild{{}}}}).Error)
	return g
}

func TestGormChangesAColumnAndTheChildrenStay(t *testing.T) {
	for name, change := range map[string]func(g *gorm.DB) error{
		"AutoMigrate": func(g *gorm.DB) error { return g.AutoMigrate(&gormParentNext{}) },
		"AlterColumn": func(g *gorm.DB) error { return g.Migrator().AlterColumn(&gormParentNext{}, "V") },
	} {
		t.Run(name, func(t *testing.T) {
			beside(t, func(t *testing.T, db *sql.DB, _ bool) {
				g := gormOn(t, db)
				require.NoError(t, change(g))
				requireGormRebuilt(t, g)
				requireCount(t, 2, db, "parent")
				requireCount(t, 2, db, "child")
				require.NoError(t, change(g), "again")
				requireCount(t, 2, db, "child")
			})
		})
	}
}

func requireGormRebuilt(t *testing.T, g *gorm.DB) {
	t.Helper()
	columns, err := g.Migrator().ColumnTypes(&gormParentNext{})
	require.NoError(t, err)
	require.Equal(t, "v", columns[1].Name())
	nullable, ok := columns[1].Nullable()
	require.True(t, ok)
	require.False(t, nullable)
	var on bool
	require.NoError(t, g.Raw("PRAGMA foreign_keys").Scan(&on).Error)
	require.True(t, on)
	require.ErrorContains(t, g.Exec("INSERT INTO child (p_id) VALUES (99)").Error, "FOREIGN KEY")
}

// withoutForeignKeys does what GORM's AlterColumn does for itself.
func withoutForeignKeys(g *gorm.DB, change func() error) error {
	if err := g.Exec("PRAGMA foreign_keys=OFF").Error; err != nil {
		return err
	}
	err := change()
	if on := g.Exec("PRAGMA foreign_keys=ON").Error; err == nil {
		err = on
	}
	return err
}

func TestGormRebuildsForAConstraintWithForeignKeysSwitchedOffByHand(t *testing.T) {
	for name, change := range map[string]func(g *gorm.DB) error{
		"a column less":   func(g *gorm.DB) error { return g.Migrator().DropColumn(&gormParent{}, "Note") },
		"a constraint":    func(g *gorm.DB) error { return g.Migrator().CreateConstraint(&gormParentChecked{}, "named") },
		"all of a change": func(g *gorm.DB) error { return g.AutoMigrate(&gormParentChecked{}) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, off := range []bool{true, false} {
				beside(t, func(t *testing.T, db *sql.DB, _ bool) {
					g := gormOn(t, db)
					if !off { // as GORM leaves them, here as there
						require.NoError(t, change(g))
						requireCount(t, 0, db, "child")
						return
					}
					require.NoError(t, withoutForeignKeys(g, func() error { return change(g) }))
					require.NotEqual(t, g.Migrator().HasColumn(&gormParent{}, "Note"), name == "a column less")
					require.NotEqual(t, g.Migrator().HasConstraint(&gormParentChecked{}, "named"), name == "a column less")
					requireCount(t, 2, db, "child")
					require.ErrorContains(t, g.Exec("INSERT INTO child (p_id) VALUES (99)").Error, "FOREIGN KEY")
				})
			}
		})
	}
}

// AlterColumn sees no answer to its PRAGMA, so whoever calls it in a transaction
// has to ask by himself. This is the same on the driver alone, but for the answer.
func TestGormInATransactionIsToldThatForeignKeysStayOn(t *testing.T) {
	beside(t, func(t *testing.T, db *sql.DB, control bool) {
		for _, asks := range []bool{true, false} {
			g := gormOn(t, db)
			err := g.Transaction(func(tx *gorm.DB) error {
				if asks {
					if err := tx.Exec("PRAGMA foreign_keys=OFF").Error; err != nil {
						return err
					}
				}
				return tx.Migrator().AlterColumn(&gormParentNext{}, "V")
			})
			if !control { // by the PRAGMA, or by the DROP TABLE that follows the migrator's own, which GORM only logs
				require.ErrorIs(t, err, errors.ErrUnsupported)
				requireCount(t, 2, db, "child")
			} else {
				require.NoError(t, err)
				requireCount(t, 0, db, "child")
			}
			require.NoError(t, g.Migrator().DropTable("child", "parent"))
		}
	})
}

func TestGormCreatesReadsAndNestsTransactions(t *testing.T) {
	beside(t, func(t *testing.T, db *sql.DB, _ bool) {
		g := gormOn(t, db)
		var all []gormParent
		require.NoError(t, g.Preload("Children").Order("id").Find(&all).Error)
		require.Len(t, all, 2)
		require.Len(t, all[1].Children, 1)
		require.EqualValues(t, 2, all[1].Children[0].PID)

		require.NoError(t, g.Transaction(func(tx *gorm.DB) error {
			require.NoError(t, tx.Create(&gormParent{Note: "kept"}).Error)
			require.Equal(t, sql.ErrNoRows, tx.Transaction(func(tx *gorm.DB) error { // a savepoint
				require.NoError(t, tx.Create(&gormParent{Note: "undone"}).Error)
				return sql.ErrNoRows
			}))
			return nil
		}))
		require.Error(t, g.Transaction(func(tx *gorm.DB) error {
			require.NoError(t, tx.Delete(&gormParent{}, 1).Error)
			return sql.ErrNoRows
		}))
		require.ErrorIs(t, g.First(&gormParent{}, "note = ?", "undone").Error, gorm.ErrRecordNotFound)
		requireCount(t, 3, db, "parent")
		require.NoError(t, g.Delete(&gormParent{}, 1).Error)
		requireCount(t, 1, db, "child")
	})
}
