// Package containers shows pools in service containers, as they are: go.uber.org/fx and
// github.com/samber/do/v2. There is nothing in it but tests.
package containers

import (
	"context"
	"testing"
	"testing/fstest"

	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Notes is a service on a pool: what a program has instead is its generated repository.
type Notes struct{ pool *pool.Pool }

// NewNotes is what both containers call to make it.
func NewNotes(p *pool.Pool) *Notes { return &Notes{p} }

// Add adds a note.
func (n *Notes) Add(ctx context.Context, text string) error {
	_, err := n.pool.Writer().Exec(ctx, "INSERT INTO notes (text) VALUES (?)", text)
	return err
}

// Count counts them.
func (n *Notes) Count(ctx context.Context) (count int, err error) {
	err = n.pool.Reader().QueryRow(ctx, "SELECT count(*) FROM notes").Scan(&count)
	return count, err
}

// up brings the schema up to date.
func up(ctx context.Context, p *pool.Pool) error {
	m, err := migrate.New(fstest.MapFS{"00001_notes.sql": {Data: []byte("-- +goose Up\nCREATE TABLE notes (text TEXT NOT NULL) STRICT;\n")}})
	if err != nil {
		return err
	}
	return m.Up(ctx, p)
}
