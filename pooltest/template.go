package pooltest

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"sync"
	"testing/fstest"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
	modernc "modernc.org/sqlite"
)

// template is a migrated database in memory, of which others are copies.
type template struct {
	uri    string
	anchor driver.Conn // It keeps the database alive.
	image  []byte      // It is the same as the bytes of a file.
}

// templates are those that this process has made.
var templates struct {
	mu   sync.Mutex
	made []making
}

// making is a template that somebody makes or has made.
type making struct {
	migrator *migrate.Migrator
	cfg      pool.Config
	wait     func() (*template, error)
}

// templateOf returns the template that the settings ask for. Whoever is first makes
// it, and the others wait.
func templateOf(s *settings, cfg pool.Config) (*template, error) {
	wait, err := promised(s, cfg)
	if err != nil {
		return nil, err
	}
	return wait()
}

// promised returns what waits for the template.
func promised(s *settings, cfg pool.Config) (wait func() (*template, error), err error) {
	files, err := read(s.migrations)
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	m, err := migrate.New(files, s.options...)
	if err != nil {
		_, err = migrate.New(s.migrations, s.options...) // which sees the directories too, and says so
		return nil, err
	}
	cfg = pool.Config{
		Path: pool.Memory, Synchronous: pool.SyncOff, Logger: slog.New(slog.DiscardHandler),
		Pragmas: maps.Clone(cfg.Pragmas), TimeFormat: cfg.TimeFormat,
	}
	templates.mu.Lock()
	defer templates.mu.Unlock()
	for _, one := range templates.made {
		// Options are functions, and cannot be compared. What they and the files have made
		// of a Migrator can: Go migrations are the same if they are at the same place.
		if reflect.DeepEqual(one.migrator, m) && maps.Equal(one.cfg.Pragmas, cfg.Pragmas) && one.cfg.TimeFormat == cfg.TimeFormat {
			return one.wait, nil
		}
	}
	one := making{m, cfg, sync.OnceValues(func() (*template, error) { return newTemplate(m, cfg) })}
	templates.made = append(templates.made, one)
	return one.wait, nil
}

// read copies the files that goose looks at: the caller's may be gone when the next
// test comes.
func read(files fs.FS) (fstest.MapFS, error) {
	copied := make(fstest.MapFS)
	if files == nil { // there are Go migrations
		return copied, nil
	}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		data, err := fs.ReadFile(files, e.Name())
		if err != nil {
			return nil, err
		}
		copied[e.Name()] = &fstest.MapFile{Data: data}
	}
	return copied, nil
}

// newTemplate migrates an empty database. No test's context ends it: others wait
// for it too.
func newTemplate(m *migrate.Migrator, cfg pool.Config) (*template, error) {
	ctx := context.Background()
	p, err := pool.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if err := m.Up(ctx, p); err != nil {
		return nil, err
	}
	l, err := p.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	made := &template{uri: "file:/pooltest-" + rand.Text() + "?vfs=memdb"}
	err = l.Raw(ctx, func(conn driver.Conn) error { return made.take(conn.(sqlite.Driver)) })
	return made, err
}

// take makes the template a copy of the connection's database.
func (m *template) take(conn sqlite.Driver) error {
	image, err := conn.Serialize()
	if err != nil {
		return err
	}
	b, err := conn.NewBackup(m.uri)
	if err != nil {
		return err
	}
	if _, err := b.Step(-1); err != nil {
		return errors.Join(err, b.Finish())
	}
	m.image = image
	m.anchor, err = b.Commit()
	return err
}

// copyInto makes the connection's empty database a copy.
func (m *template) copyInto(conn driver.Conn) error {
	b, err := conn.(interface {
		NewRestore(uri string) (*modernc.Backup, error)
	}).NewRestore(m.uri)
	if err != nil {
		return err
	}
	_, err = b.Step(-1)
	return errors.Join(err, b.Finish())
}

// copyTo makes the file a copy.
func (m *template) copyTo(path string) error {
	return os.WriteFile(path, m.image, 0o600)
}
