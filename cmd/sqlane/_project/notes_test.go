package main

import (
	"os"
	"testing"

	"example.org/notes/store"
	"github.com/sqlane/sqlane/pooltest"
)

func TestBothNotesAreAddedOrNone(t *testing.T) {
	p := pooltest.New(t, pooltest.Migrations(os.DirFS("schema")))
	notes := store.New(p)

	pooltest.Fail(t, p, pooltest.LostTx)
	if _, err := addTwo(t.Context(), notes, "buy milk", "learn SQL"); err == nil {
		t.Error("a lost transaction is no error")
	}
	pooltest.Heal(t, p)
	if n, err := addTwo(t.Context(), notes, "buy milk", "learn SQL"); n != 2 || err != nil {
		t.Error(n, err)
	}
}

func TestPlans(t *testing.T) {
	p := pooltest.New(t, pooltest.Migrations(os.DirFS("schema")))
	pooltest.Plans(t, p, store.Statements(), pooltest.NoScan, pooltest.Waive("CountNotes", "counts all of them"))
}
