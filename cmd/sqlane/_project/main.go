package main

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log"

	"example.org/notes/store"
	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
)

//go:embed schema
var migrations embed.FS

func main() {
	ctx := context.Background()
	p, err := pool.Open(ctx, pool.Config{Path: "notes.db"})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()

	files, err := fs.Sub(migrations, "schema")
	if err != nil {
		log.Fatal(err)
	}
	m, err := migrate.New(files)
	if err != nil {
		log.Fatal(err)
	}
	if err := m.Up(ctx, p); err != nil {
		log.Fatal(err)
	}
	n, err := addTwo(ctx, store.New(p), "buy milk", "learn SQL")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "notes")
}
