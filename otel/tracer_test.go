package sqlaneotel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	sqlaneotel "github.com/sqlane/sqlane/otel"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// tree is a span a line, indented below its parent.
func (w *world) tree() string {
	depth := map[trace.SpanID]int{}
	var b strings.Builder
	for _, s := range w.all() {
		at := 0
		if s.Parent().IsValid() {
			at = depth[s.Parent().SpanID()] + 1
		}
		depth[s.SpanContext().SpanID()] = at
		b.WriteString("\n" + strings.Repeat("  ", at) + s.Name())
	}
	return b.String()
}

func TestSpansAreNestedAsTheWorkIs(t *testing.T) {
	w := open(t, pool.Config{})
	ctx, request := w.tracer.Start(t.Context(), "GET /notes")
	require.NoError(t, w.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		if err := exec("INSERT INTO notes (text) VALUES (?)", "one")(ctx, tx); err != nil {
			return err
		}
		if err := tx.Savepoint(ctx, exec("UPDATE notes SET text = ?", "two")); err != nil {
			return err
		}
		return w.View(ctx, exec("-- name: ListNotes :many\nSELECT * FROM notes"))
	}))
	require.NoError(t, w.Batch(ctx, exec("DELETE FROM notes")))
	_, err := w.Writer().Exec(ctx, "DELETE FROM notes")
	require.NoError(t, err)
	_, err = w.Reader().Exec(ctx, "SELECT 1")
	require.NoError(t, err)
	request.End()

	require.Equal(t, `
GET /notes
  transaction IMMEDIATE
    acquire
    INSERT notes
    UPDATE notes
    ListNotes
  batch
    acquire
    DELETE notes
    commit
  batch
    acquire
    DELETE notes
    commit
  acquire
  SELECT`, w.tree())
	ended := map[trace.SpanID]sdktrace.ReadOnlySpan{}
	for _, s := range w.all() {
		ended[s.SpanContext().SpanID()] = s
	}
	for _, s := range w.all() {
		require.False(t, s.EndTime().Before(s.StartTime()), s.Name())
		if parent, ok := ended[s.Parent().SpanID()]; ok {
			require.False(t, s.StartTime().Before(parent.StartTime()), "%s begins within %s", s.Name(), parent.Name())
			require.False(t, s.EndTime().After(parent.EndTime()), "%s ends within %s", s.Name(), parent.Name())
		}
		if s.Name() == "GET /notes" {
			continue
		}
		require.Equal(t, trace.SpanKindInternal, s.SpanKind())
		require.Equal(t, "sqlite", attributes(s)["db.system.name"])
		require.Equal(t, "app", attributes(s)["db.namespace"])
		require.Equal(t, codes.Unset, s.Status().Code)
		require.NotContains(t, attributes(s), "error.type")
	}
}

func TestAQuerysSpanSaysWhatItIs(t *testing.T) {
	w := open(t, pool.Config{})
	_, err := w.Reader().Exec(t.Context(), "-- name: Pages :many\nSELECT id -- the key\nFROM notes WHERE text = ?1 AND id > 5\n", "x")
	require.NoError(t, err)
	got := attributes(w.one(t, "Pages"))
	require.Equal(t, map[string]string{
		"db.system.name":     "sqlite",
		"db.namespace":       "app",
		"db.query.summary":   "Pages",
		"db.query.text":      "SELECT id FROM notes WHERE text = ?1 AND id > ?",
		"db.operation.name":  "SELECT",
		"db.collection.name": "notes",
	}, got)
	require.Equal(t, "app", attributes(w.one(t, "acquire"))["db.client.connection.pool.name"])

	w = open(t, pool.Config{}, sqlaneotel.WithoutQueryText())
	_, err = w.Reader().Exec(t.Context(), "SELECT id FROM notes")
	require.NoError(t, err)
	require.NotContains(t, attributes(w.one(t, "SELECT notes")), "db.query.text")
}

func TestAQuerysSpanLastsUntilItsRowsAreClosed(t *testing.T) {
	w := open(t, pool.Config{})
	rows, err := w.Reader().Query(t.Context(), "SELECT 1 UNION ALL SELECT 2")
	require.NoError(t, err)
	require.True(t, rows.Next())
	require.Empty(t, w.named("SELECT"))
	require.NoError(t, rows.Close())
	require.Len(t, w.named("SELECT"), 1)
}

func TestMembersOfABatchAreLinkedToTheirCommit(t *testing.T) {
	w := open(t, pool.Config{})
	gate, err := w.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	const members = 5
	var wg sync.WaitGroup
	for i := range members {
		wg.Go(func() {
			ctx, span := w.tracer.Start(t.Context(), "POST /notes")
			defer span.End()
			_, err := w.Writer().Exec(ctx, "INSERT INTO notes (text) VALUES (?)", fmt.Sprint(i))
			require.NoError(t, err)
		})
	}
	ours := errors.New("ours")
	wg.Go(func() {
		require.Same(t, ours, w.Batch(t.Context(), func(context.Context, *pool.Tx) error { return ours }))
	})
	eventually(t, func() bool { return w.Stats().WriteQueue == members+1 })
	require.NoError(t, gate.Commit(t.Context()))
	wg.Wait()

	commit := w.one(t, "commit")
	require.Equal(t, fmt.Sprint(members), attributes(commit)["sqlane.batch.members"])
	require.Equal(t, "COMMIT", attributes(commit)["db.operation.name"])
	linked, orders := 0, 0
	for _, s := range w.named("batch") {
		if s.SpanContext().SpanID() == commit.Parent().SpanID() {
			orders++
		}
		if s.Status().Code == codes.Error {
			require.Empty(t, s.Links(), "its work is not in the commit")
			continue
		}
		require.Len(t, s.Links(), 1)
		require.Equal(t, commit.SpanContext().SpanID(), s.Links()[0].SpanContext.SpanID())
		linked++
	}
	require.Equal(t, members, linked)
	require.Equal(t, 1, orders, "one of them, perhaps the one that failed, has it in its span")
	traces := map[trace.TraceID]bool{}
	for _, s := range w.named("POST /notes") {
		traces[s.SpanContext().TraceID()] = true
	}
	require.Len(t, traces, members, "each is a trace of its own")
}

func TestAnErrorsTypeIsItsSentinel(t *testing.T) {
	w := open(t, pool.Config{MaxConns: 2, AcquireTimeout: 20 * time.Millisecond})
	ctx := t.Context()
	over, cancel := context.WithCancel(ctx)
	cancel()
	late, cancel := context.WithDeadline(ctx, time.Unix(0, 0))
	defer cancel()
	_, err := w.Writer().Exec(ctx, "INSERT INTO notes (id, text) VALUES (1, 'one')")
	require.NoError(t, err)
	for _, c := range []struct {
		run                 func() error
		span, errType, code string
	}{
		{func() error { return w.Batch(ctx, exec("INSERT INTO notes (id, text) VALUES (2, 'one')")) }, "INSERT notes", "dberr.ErrDuplicate", "2067"},
		{func() error { return w.Batch(ctx, exec("INSERT INTO notes (id, text) VALUES (2, '')")) }, "batch", "dberr.ErrCheck", "275"},
		{func() error { return w.View(ctx, exec("DELETE FROM notes")) }, "transaction DEFERRED", "pool.ErrReadOnly", ""},
		{func() error { return w.InTx(ctx, pool.Deferred, exec("SELECT nonsense")) }, "SELECT", "1", "1"},
		{func() error { return w.InTx(ctx, pool.Deferred, exec("COMMIT")) }, "COMMIT", "pool.ErrTxControl", ""},
		{func() error { return w.InTx(over, pool.Deferred, exec("SELECT 1")) }, "acquire", "context.Canceled", ""},
		{func() error { return w.InTx(late, pool.Deferred, exec("SELECT 1")) }, "transaction DEFERRED", "context.DeadlineExceeded", ""},
		{func() error {
			return w.InTx(ctx, pool.Deferred, func(context.Context, *pool.Tx) error { return errors.New("hush") })
		}, "transaction DEFERRED", "_OTHER", ""},
		{func() error {
			return w.InTx(ctx, pool.Immediate, func(ctx context.Context, _ *pool.Tx) error {
				return w.InTx(context.WithoutCancel(t.Context()), pool.Immediate, exec("SELECT 1"))
			})
		}, "acquire", "pool.ErrAcquireTimeout", ""},
		{func() error {
			return w.InTx(ctx, pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
				if err := exec("SELECT count(*) FROM notes")(ctx, tx); err != nil {
					return err
				}
				if _, err := w.Writer().Exec(t.Context(), "UPDATE notes SET text = 'two'"); err != nil {
					return err
				}
				return exec("DELETE FROM notes")(ctx, tx)
			})
		}, "DELETE notes", "pool.ErrConflict", "517"},
	} {
		w.spans.Reset()
		require.Error(t, c.run())
		var failed []sdktrace.ReadOnlySpan
		for _, s := range w.named(c.span) {
			if s.Status().Code == codes.Error {
				failed = append(failed, s)
			}
		}
		require.Len(t, failed, 1, "%s %s in%s", c.span, c.errType, w.tree())
		got := attributes(failed[0])
		require.Equal(t, c.errType, got["error.type"])
		require.Equal(t, c.code, got["db.response.status_code"], c.errType)
		require.Equal(t, c.errType, failed[0].Status().Description)
	}
}

func TestALostTransactionIsToldAsSuch(t *testing.T) {
	w := open(t, pool.Config{})
	err := w.InTx(t.Context(), pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		for range 2 { // OR ROLLBACK takes the transaction along
			if _, err := tx.Exec(ctx, "INSERT OR ROLLBACK INTO notes (id, text) VALUES (1, 'one'), (1, 'two')"); err != nil {
				continue
			}
		}
		return nil
	})
	require.ErrorIs(t, err, pool.ErrTxLost)
	inserts := w.named("INSERT notes")
	require.Len(t, inserts, 2)
	require.Equal(t, "dberr.ErrDuplicate", attributes(inserts[0])["error.type"])
	require.Equal(t, "pool.ErrTxLost", attributes(inserts[1])["error.type"])
	require.Equal(t, "pool.ErrTxLost", attributes(w.one(t, "transaction IMMEDIATE"))["error.type"])
}

func TestNoValueIsEverTold(t *testing.T) {
	w := open(t, pool.Config{TraceArguments: true})
	ctx := t.Context()
	_, err := w.Writer().Exec(ctx, "INSERT INTO notes (text) VALUES (?)", "hush")
	require.NoError(t, err)
	_, err = w.Reader().Exec(ctx, "SELECT * FROM notes WHERE text = 'hush' AND id <> 4711 AND text <> x'68757368' -- hush")
	require.NoError(t, err)
	_, err = w.Reader().Exec(ctx, "SELECT * FROM search WHERE search MATCH ?", `hush:"`)
	require.ErrorContains(t, err, "hush", "SQLite's own words have it")
	err = w.Batch(ctx, func(context.Context, *pool.Tx) error { return errors.New("hush") })
	require.Error(t, err)
	require.NotEmpty(t, w.all())
	for _, s := range w.all() {
		told := fmt.Sprint(s.Name(), s.Attributes(), s.Events(), s.Links(), s.Status())
		for _, secret := range []string{"hush", "4711", "68757368"} {
			require.NotContains(t, told, secret)
		}
	}
	require.NotContains(t, fmt.Sprint(w.metrics(t)), "hush")
}

func TestWaitingIsTold(t *testing.T) {
	w := open(t, pool.Config{})
	gate, err := w.Begin(t.Context(), pool.Immediate)
	require.NoError(t, err)
	done := make(chan error)
	go func() { done <- w.InTx(t.Context(), pool.Immediate, exec("DELETE FROM notes")) }()
	eventually(t, func() bool { return w.Stats().WriteQueue == 1 })
	require.NoError(t, gate.Rollback(t.Context()))
	require.NoError(t, <-done)
	waited := 0
	for _, s := range w.named("acquire") {
		if _, ok := attributes(s)["sqlane.wait.lane"]; ok {
			waited++
		}
	}
	require.NotZero(t, waited)
}

func TestABackupsStepsAreSpans(t *testing.T) {
	w := open(t, pool.Config{})
	require.NoError(t, w.Backup(t.Context(), t.TempDir()+"/copy.db"))
	steps := w.named("backup")
	require.NotEmpty(t, steps)
	require.Contains(t, attributes(steps[0]), "sqlane.backup.pages.total")
}

func TestManyTextsAreDescribedAllTheSame(t *testing.T) {
	w := open(t, pool.Config{})
	require.NoError(t, w.InTx(t.Context(), pool.Deferred, func(ctx context.Context, tx *pool.Tx) error {
		for i := range 2100 {
			if _, err := tx.Exec(ctx, fmt.Sprintf("SELECT %d AS n%d", i, i)); err != nil {
				return err
			}
		}
		return nil
	}))
	spans := w.named("SELECT")
	require.Len(t, spans, 2100)
	require.Equal(t, "SELECT ? AS n2099", attributes(spans[2099])["db.query.text"])
}

func TestManyGoroutinesEndEverySpan(t *testing.T) {
	w := open(t, pool.Config{})
	var wg sync.WaitGroup
	for g := range 20 {
		wg.Go(func() {
			for i := range 10 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%3 == 0 {
					cancel()
				}
				_, _ = w.Writer().Exec(ctx, "INSERT INTO notes (text) VALUES (?)", fmt.Sprint(g, i))
				_ = w.InTx(ctx, pool.Deferred, exec("SELECT * FROM notes LIMIT 3"))
				_, _ = w.Reader().Exec(ctx, "SELECT count(*) FROM notes")
				cancel()
			}
		})
	}
	wg.Wait()
	require.Len(t, w.spans.Ended(), len(w.spans.Started()))
	commits := map[trace.SpanID]bool{}
	for _, s := range w.named("commit") {
		commits[s.SpanContext().SpanID()] = true
	}
	for _, s := range w.named("batch") {
		require.Equal(t, s.Status().Code != codes.Error, len(s.Links()) == 1)
		for _, l := range s.Links() {
			require.True(t, commits[l.SpanContext.SpanID()])
		}
	}
}
