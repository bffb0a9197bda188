package repo_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/sqlane/sqlane/gen"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/repo"
	"github.com/sqlane/sqlane/schema"
)

// newIndex makes an empty index in memory.
func newIndex(ctx context.Context) (r *repo.Repo, closeIt func()) {
	p, err := pool.Open(ctx, pool.Config{Path: pool.Memory})
	if err != nil {
		log.Fatal(err)
	}
	if err := schema.Up(ctx, p.DB()); err != nil {
		log.Fatal(err)
	}
	return repo.New(p), func() { _ = p.Close() }
}

func ExampleNew() {
	ctx := context.Background()
	p, err := pool.Open(ctx, pool.Config{Path: pool.Memory})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if err := schema.Up(ctx, p.DB()); err != nil {
		log.Fatal(err)
	}
	r := repo.New(p)
	kind, err := r.GetFileTypeByExtension(ctx, "go")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(kind.TypeName, "is", kind.Category)
	// Output: Go source is code
}

// Both directories are recorded, or none. Methods of Repo that are called with
// the function's context join the transaction.
func ExampleRepo_InTx() {
	ctx := context.Background()
	r, closeIt := newIndex(ctx)
	defer closeIt()
	err := r.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
		home, err := tx.UpsertDirectory(ctx, gen.UpsertDirectoryParams{Path: "/home"})
		if err != nil {
			return err
		}
		if _, err := tx.UpsertDirectory(ctx, gen.UpsertDirectoryParams{Path: "/home/ann", ParentID: &home.ID}); err != nil {
			return err
		}
		below, err := r.ListSubdirectories(ctx, home.ID)
		if err != nil {
			return err
		}
		fmt.Println(len(below), "below", home.Path)
		return errors.New("on second thoughts, no")
	})
	fmt.Println(err)
	_, err = r.GetDirectoryByPath(ctx, "/home")
	fmt.Println(err)
	// Output:
	// 1 below /home
	// on second thoughts, no
	// GetDirectoryByPath: not found: sql: no rows in result set
}

// What the function does is committed together with what other goroutines do at
// the same time, and still fails or succeeds alone.
func ExampleRepo_Batch() {
	ctx := context.Background()
	r, closeIt := newIndex(ctx)
	defer closeIt()
	done := make(chan error)
	for _, name := range []string{"Music", "Films", "Music"} {
		go func() {
			done <- r.Batch(ctx, func(ctx context.Context, tx *repo.Tx) error {
				tab, err := tx.CreateTab(ctx, gen.CreateTabParams{Name: name, FilterDef: "{}"})
				if err != nil {
					return err
				}
				_, err = tx.MoveTab(ctx, gen.MoveTabParams{ID: tab.ID, Position: 0})
				return err
			})
		}()
	}
	made, refused := 0, 0
	for range 3 {
		switch err := <-done; {
		case err == nil:
			made++
		case errors.Is(err, repo.ErrDuplicate):
			refused++
		}
	}
	fmt.Println(made, "made,", refused, "refused")
	// Output: 2 made, 1 refused
}

// All that is read in a view fits together, whatever is committed meanwhile.
func ExampleRepo_View() {
	ctx := context.Background()
	r, closeIt := newIndex(ctx)
	defer closeIt()
	err := r.View(ctx, func(ctx context.Context, q repo.Reader) error {
		tabs, err := q.ListTabs(ctx)
		if err != nil {
			return err
		}
		audio, err := q.ListFileTypesByCategory(ctx, "audio")
		if err != nil {
			return err
		}
		fmt.Println(len(tabs), "tabs,", len(audio), "types of audio")
		_, err = r.DeleteTab(ctx, tabs[0].ID) // q has no such method
		return err
	})
	fmt.Println(errors.Is(err, pool.ErrReadOnly))
	// Output:
	// 7 tabs, 5 types of audio
	// true
}

// One name fails; the others are added all the same.
func ExampleTx_Savepoint() {
	ctx := context.Background()
	r, closeIt := newIndex(ctx)
	defer closeIt()
	err := r.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *repo.Tx) error {
		for _, name := range []string{"Music", "Films", "Images"} {
			err := tx.Savepoint(ctx, func(ctx context.Context, tx *repo.Tx) error {
				_, err := tx.CreateTab(ctx, gen.CreateTabParams{Name: name, FilterDef: "{}"})
				return err
			})
			switch {
			case errors.Is(err, repo.ErrDuplicate):
				fmt.Println(name, "is there already")
			case err != nil:
				return err
			default:
				fmt.Println(name, "is new")
			}
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// Music is new
	// Films is new
	// Images is there already
	// <nil>
}

// Errors are told apart with errors.Is. SQLite's own code is there as well.
func Example_errors() {
	ctx := context.Background()
	r, closeIt := newIndex(ctx)
	defer closeIt()

	_, err := r.GetFileByPath(ctx, "/etc/hosts")
	fmt.Println(errors.Is(err, repo.ErrNotFound))

	_, err = r.CreateTab(ctx, gen.CreateTabParams{Name: "Images", FilterDef: "{}"})
	code, _ := pool.Code(err)
	fmt.Println(errors.Is(err, repo.ErrDuplicate), code)

	_, err = r.CreateTab(ctx, gen.CreateTabParams{Name: "Broken", FilterDef: "no JSON"})
	code, _ = pool.Code(err)
	fmt.Println(errors.Is(err, repo.ErrCheck), code)

	nobody := int64(99)
	_, err = r.UpsertDirectory(ctx, gen.UpsertDirectoryParams{Path: "/lost", ParentID: &nobody})
	code, _ = pool.Code(err)
	fmt.Println(errors.Is(err, repo.ErrForeignKey), code)
	// Output:
	// true
	// true 2067
	// true 275
	// true 787
}
