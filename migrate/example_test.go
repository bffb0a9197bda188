package migrate_test

import (
	"context"
	"fmt"
	"log"
	"testing/fstest"

	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
)

// A program's migrations are files, embedded as an fs.FS. The second one rebuilds
// a table that others refer to.
var migrations = fstest.MapFS{
	"00001_people.sql": {Data: []byte(`-- +goose Up
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE pets (id INTEGER PRIMARY KEY, owner_id INTEGER NOT NULL REFERENCES people ON DELETE CASCADE);
INSERT INTO people VALUES (1, 'Ann');
INSERT INTO pets VALUES (1, 1), (2, 1);

-- +goose Down
DROP TABLE pets;
DROP TABLE people;
`)},
	"00002_names.sql": {Data: []byte(`-- +goose Up
CREATE TABLE new_people (id INTEGER PRIMARY KEY, name TEXT NOT NULL CHECK (name <> ''));
INSERT INTO new_people SELECT * FROM people;
DROP TABLE people;
ALTER TABLE new_people RENAME TO people;

-- +goose Down
`)},
}

func Example() {
	ctx := context.Background()
	p, err := pool.Open(ctx, pool.Config{Path: pool.Memory})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	m, err := migrate.New(migrations)
	if err != nil {
		log.Fatal(err)
	}
	if err := m.Up(ctx, p); err != nil {
		log.Fatal(err)
	}
	// From here on a repository's New(p) and its methods.
	current, latest, err := m.Version(ctx, p)
	if err != nil {
		log.Fatal(err)
	}
	var pets int
	if err := p.Reader().QueryRow(ctx, "SELECT count(*) FROM pets").Scan(&pets); err != nil {
		log.Fatal(err)
	}
	fmt.Println("version", current, "of", latest, "with", pets, "pets")
	// Output: version 2 of 2 with 2 pets
}
