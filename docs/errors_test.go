package docs

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/require"
)

// status is what an HTTP handler answers.
func status(err error) int {
	if err == nil {
		return http.StatusOK
	}
	switch dberr.Kind(err) {
	case dberr.ErrNotFound:
		return http.StatusNotFound
	case dberr.ErrDuplicate, dberr.ErrForeignKey:
		return http.StatusConflict
	case dberr.ErrCheck, dberr.ErrNotNull:
		return http.StatusUnprocessableEntity
	}
	for _, later := range []error{pool.ErrAcquireTimeout, pool.ErrOverloaded, pool.ErrBusy, pool.ErrClosed, pool.ErrUnhealthy} {
		if errors.Is(err, later) {
			return http.StatusServiceUnavailable // nothing was done; the caller may try again
		}
	}
	return http.StatusInternalServerError
}

func TestAnErrorsKindIsFoundHoweverItWasWrapped(t *testing.T) {
	p := open(t)
	for query, want := range map[string]int{
		"INSERT INTO accounts VALUES ('cy', 1)":                    http.StatusOK,
		"INSERT INTO accounts VALUES ('ann', 1)":                   http.StatusConflict,
		"INSERT INTO accounts VALUES ('dee', -1)":                  http.StatusUnprocessableEntity,
		"INSERT INTO accounts VALUES ('dee', NULL)":                http.StatusUnprocessableEntity,
		"INSERT INTO log (account, amount) VALUES ('nobody', 1)":   http.StatusConflict,
		"INSERT INTO nowhere VALUES (1)":                           http.StatusInternalServerError,
		"INSERT INTO accounts VALUES ('dee', 1); ROLLBACK":         http.StatusInternalServerError,
		"UPDATE accounts SET balance = balance WHERE name = 'ann'": http.StatusOK,
	} {
		err := p.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
			_, err := tx.Exec(ctx, query)
			require.NoError(t, put(ctx, tx, "bob", 1), "the transaction goes on")
			if err != nil {
				return fmt.Errorf("as somebody wraps it: %w", err)
			}
			return nil
		})
		require.Equal(t, want, status(err), "%s: %v", query, err)
	}
	var n int
	require.Equal(t, http.StatusNotFound, status(p.Reader().QueryRow(t.Context(), "SELECT balance FROM accounts WHERE name = 'nobody'").Scan(&n)))
	require.NoError(t, p.Close())
	require.Equal(t, http.StatusServiceUnavailable, status(put(t.Context(), p.Writer(), "ann", 1)))
}

// alarm says what somebody should be woken for.
func alarm(err error) string {
	switch {
	case pool.IsFull(err):
		return "the disk is full"
	case pool.IsCorrupt(err):
		return "the database is damaged"
	case errors.Is(err, pool.ErrMoved), errors.Is(err, pool.ErrUnhealthy):
		return err.Error()
	}
	if code, ok := pool.Code(err); ok {
		slog.Debug("a statement failed", "sqlite", code) // https://www.sqlite.org/rescode.html
	}
	return ""
}

func TestTheAlarmIsForWhatConcernsTheWholeDatabase(t *testing.T) {
	p := open(t, pooltest.File())
	pooltest.Fail(t, p, pooltest.DiskFull)
	_, err := p.Writer().Exec(t.Context(), "INSERT INTO accounts VALUES (?, 1)", strings.Repeat("x", 1e6))
	require.Equal(t, "the disk is full", alarm(err))
	pooltest.Heal(t, p)
	pooltest.Fail(t, p, pooltest.Moved)
	require.ErrorIs(t, p.HealthCheck(t.Context()), pool.ErrMoved)
	require.Contains(t, alarm(p.HealthCheck(t.Context())), "moved")
	pooltest.Heal(t, p)
	_, err = p.Writer().Exec(t.Context(), "INSERT INTO accounts VALUES ('ann', 1)")
	require.Error(t, err)
	require.Empty(t, alarm(err))

	broken := filepath.Join(t.TempDir(), "app.db")
	require.NoError(t, os.WriteFile(broken, []byte(strings.Repeat("no database ", 100)), 0o600))
	_, err = pool.Open(t.Context(), pool.Config{Path: broken})
	require.Equal(t, "the database is damaged", alarm(err))
}

// again runs a transaction once more if another process was in the way.
func again(ctx context.Context, p *pool.Pool, fn func(ctx context.Context, tx *pool.Tx) error) error {
	err := p.InTx(ctx, pool.Immediate, fn)
	for range 2 {
		if !errors.Is(err, pool.ErrBusy) {
			break
		}
		err = p.InTx(ctx, pool.Immediate, fn)
	}
	return err
}

func TestATransactionIsTriedAgainWhenAnotherProcessWasInTheWay(t *testing.T) {
	p := open(t, pooltest.File(), pooltest.Config(func(cfg *pool.Config) { cfg.BusyTimeout = -1 }))
	work := func(ctx context.Context, tx *pool.Tx) error { return put(ctx, tx, "ann", 1) }
	pooltest.Fail(t, p, pooltest.Locked(0))
	require.ErrorIs(t, again(t.Context(), p, work), pool.ErrBusy)
	pooltest.Heal(t, p)
	require.NoError(t, again(t.Context(), p, work))
	require.Equal(t, 11, balance(t, p, "ann"))
}

func TestTheTablesOfErrorsNameEveryOne(t *testing.T) {
	guide, err := os.ReadFile("errors.md")
	require.NoError(t, err)
	names := 0
	for _, name := range []string{"dberr", "migrate", "pool"} {
		files, err := filepath.Glob("../" + name + "/*.go")
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			require.NoError(t, err)
			for _, d := range f.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.VAR {
					continue
				}
				for _, spec := range g.Specs {
					for _, id := range spec.(*ast.ValueSpec).Names {
						if strings.HasPrefix(id.Name, "Err") {
							names++
							require.Contains(t, string(guide), "\n| `"+name+"."+id.Name+"` |")
						}
					}
				}
			}
		}
	}
	require.Equal(t, strings.Count(string(guide), "\n| `"), names, "and none that does not exist")
}
