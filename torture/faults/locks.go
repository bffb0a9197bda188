package faults

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/trial"
)

// Locker is the role of another process that locks the database.
const Locker = "locker"

// foreignLock is what another process holds, and what it keeps this one from.
type foreignLock struct {
	journal, name string
	take          string
	writes, reads bool // are kept out
}

var foreignLocks = []foreignLock{
	{journal: "wal", name: "SHARED", take: "BEGIN; SELECT * FROM account"},
	{journal: "wal", name: "RESERVED", take: "BEGIN IMMEDIATE; UPDATE account SET balance = balance", writes: true},
	{journal: "wal", name: "EXCLUSIVE", take: "BEGIN EXCLUSIVE; UPDATE account SET balance = balance", writes: true},
	{journal: "delete", name: "SHARED", take: "BEGIN; SELECT * FROM account", writes: true},
	{journal: "delete", name: "RESERVED", take: "BEGIN IMMEDIATE; UPDATE account SET balance = balance", writes: true},
	{journal: "delete", name: "EXCLUSIVE", take: "BEGIN EXCLUSIVE; UPDATE account SET balance = balance", writes: true, reads: true},
}

func locked(ctx context.Context, plan trial.Plan) (rows []trial.Row) {
	for _, lock := range foreignLocks {
		if ctx.Err() == nil {
			rows = append(rows, lock.run(ctx, plan))
		}
	}
	return rows
}

// run has writers in every way and a reader meet the lock for longer than every
// timeout, several times.
func (f foreignLock) run(ctx context.Context, plan trial.Plan) (row trial.Row) {
	const writers = 12
	row = trial.Row{Section: Section, Name: "another process's " + f.name + " lock, " + f.journal}
	dir, err := plan.MakeDir("fault " + row.Name)
	if err != nil {
		row.Err = err
		return row
	}
	// A queue of writers, each of whom waits for BusyTimeout, may be longer than
	// AcquireTimeout. A deferred one that read may find itself in the way.
	s := newStage(ctx, dir, f.journal, sentinels(pool.ErrBusy, pool.ErrAcquireTimeout, pool.ErrConflict))
	defer func() {
		if s.pool != nil {
			row.Err = errors.Join(row.Err, s.pool.Close())
		}
	}()
	cfg := s.config()
	cfg.BusyTimeout, cfg.AcquireTimeout = 20*time.Millisecond, 30*time.Second
	if row.Err = s.open(cfg); row.Err != nil {
		return row
	}
	c, err := child.Start(Locker, s.setup.Path)
	if err != nil {
		row.Err = err
		return row
	}
	other := func(script string) error {
		if _, err := fmt.Fprintln(c.In, script); err != nil {
			return err
		}
		if answer := <-c.Lines; answer != "ok" {
			return fmt.Errorf("the other process: %s", answer)
		}
		return nil
	}
	everybody := func() (failed int, err error) {
		var errs [writers]error
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() { errs[w] = s.moveAs(w) })
		}
		wg.Wait()
		for _, err := range errs {
			if errors.Is(err, errUnexpected) {
				return failed, err
			}
			if err != nil {
				failed++
			}
		}
		return failed, nil
	}
	rounds := plan.Times(20, 3)
	for round := 0; round < rounds && ctx.Err() == nil && row.Err == nil; round++ {
		row.Err = func() error {
			if err := other(f.take); err != nil {
				return err
			}
			failed, err := everybody()
			if err != nil {
				return err
			}
			if want := map[bool]int{true: writers}[f.writes]; failed != want {
				return fmt.Errorf("%d of %d writers failed under the lock, not %d", failed, writers, want)
			}
			err = s.view()
			if errors.Is(err, errUnexpected) || (err != nil) != f.reads {
				return fmt.Errorf("a reader under the lock: %w", err)
			}
			if err := other("ROLLBACK"); err != nil {
				return err
			}
			if failed, err := everybody(); failed > 0 || err != nil {
				return fmt.Errorf("%d writers failed after the lock had gone: %w", failed, err)
			}
			return s.view()
		}()
		row.Attempts++
		row.Faults++
	}
	_, err = c.End()
	row.Err = errors.Join(row.Err, err)
	lost, err := s.finish()
	row.Acknowledged, row.Lost, row.Err = len(s.acks), lost, errors.Join(row.Err, err)
	row.Add("%d calls were told", s.failed)
	return row
}

// Lock is that role: it runs scripts, one a line, on one plain connection.
func Lock(text []byte) error {
	var path string
	if err := json.Unmarshal(text, &path); err != nil {
		return err
	}
	ctx := context.Background()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "PRAGMA busy_timeout = 60000"); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		answer := "ok"
		if _, err := conn.ExecContext(ctx, in.Text()); err != nil {
			answer = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		fmt.Println(answer)
	}
	return nil
}
