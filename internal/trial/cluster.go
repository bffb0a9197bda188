// Package trial has tests run on a cluster beside everything else, if there is one.
package trial

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/dqlite"
)

// Cluster returns a Store on a new database of the cluster whose nodes' addresses the
// variable SQLANE_CLUSTER names, divided by commas, and which speaks in the clear; nil if
// it is not set. The Store closes with the test.
func Cluster(t testing.TB) *dqlite.Store {
	t.Helper()
	addresses := os.Getenv("SQLANE_CLUSTER")
	if addresses == "" {
		return nil
	}
	s, err := dqlite.Open(t.Context(), dqlite.Config{
		Members:        strings.Split(addresses, ","),
		Plaintext:      true,
		Database:       rand.Text() + ".db",
		AcquireTimeout: -1, // the machine may be slow
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
