package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing/fstest"
	"time"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/schema"
	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/trial"
)

// Each migration writes that it was applied: what is applied twice shows.
const steps = 6

func files() fstest.MapFS {
	all := fstest.MapFS{}
	for i := 1; i <= steps; i++ {
		text := fmt.Sprintf("-- +goose Up\nCREATE TABLE IF NOT EXISTS applied (step INTEGER NOT NULL);\nINSERT INTO applied VALUES (%[1]d);\nCREATE TABLE IF NOT EXISTS step%[1]d (id INTEGER PRIMARY KEY);\nINSERT INTO applied VALUES (-%[1]d);\n-- +goose Down\nDROP TABLE step%[1]d;\n", i)
		all[fmt.Sprintf("%05d_step.sql", i)] = &fstest.MapFile{Data: []byte(text)}
	}
	return all
}

// migrating is what a process is told that migrates.
type migrating struct {
	Members  []string
	Database string
}

const (
	begins   = "begins"
	again    = "again "
	migrated = "migrated"
)

// migrator is a process that migrates, again where the leader is lost.
func migrator(text []byte) error {
	var c migrating
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cfg := config(c.Members, c.Database)
	cfg.BusyTimeout = patience
	s, err := dqlite.Open(ctx, cfg)
	if err != nil {
		say(complaining + err.Error())
		return nil
	}
	m, err := migrate.New(files())
	if err != nil {
		return err
	}
	say(begins)
	for _, up := range []func() error{
		func() error { return m.Up(ctx, s) },
		func() error { return schema.Up(ctx, s.DB()) },
	} {
		for err = up(); err != nil; err = up() {
			if ctx.Err() != nil || !lostLeader(err) {
				say(complaining + err.Error())
				return s.Close()
			}
			say(again + err.Error())
		}
	}
	say(migrated)
	return s.Close()
}

// migrations has three processes migrate an empty database while the leader is killed.
func migrations(ctx context.Context, plan trial.Plan, node, name string) []trial.Row {
	row := trial.Row{Section: Section, Name: name}
	s, err := open(ctx, plan, node, name)
	if err != nil {
		row.Err = err
		return []trial.Row{row}
	}
	agains := 0
	for i := range plan.Times(20, 2) {
		if row.Err != nil || ctx.Err() != nil {
			break
		}
		plan.Progress("%s: %d of %d", name, i, plan.Times(20, 2))
		var n int
		n, row.Err = s.migrate(ctx, fmt.Sprintf("migrated%d.db", i))
		agains += n
		row.Attempts++
		row.Faults++
		row.Acknowledged += 3 * steps
	}
	row.Add("%d times one was told that the leader is gone, and migrated again", agains)
	row.Err = errors.Join(row.Err, s.close())
	return []trial.Row{row}
}

func (s *stage) migrate(ctx context.Context, database string) (agains int, err error) {
	leader, err := s.leader(ctx)
	if err != nil {
		return 0, err
	}
	var all []*child.Child
	defer func() {
		for _, c := range all {
			c.Kill()
			_, _ = c.Wait()
		}
	}()
	for range 3 {
		c, err := child.Start("cluster migrator", migrating{Members: s.Addresses(), Database: database})
		if err != nil {
			return 0, err
		}
		all = append(all, c)
	}
	select {
	case <-all[0].Lines: // it has begun, or failed, which is seen below
	case <-ctx.Done():
		return 0, nil
	}
	trial.Pause(ctx, s.rng, 300*time.Millisecond)
	s.Kill(leader)
	for i, c := range all {
		lines, ended := c.Wait()
		err = errors.Join(err, ended)
		for _, line := range lines {
			if strings.HasPrefix(line, again) {
				agains++
			}
		}
		if ended == nil && (len(lines) == 0 || lines[len(lines)-1] != migrated) {
			err = errors.Join(err, fmt.Errorf("process %d: %s", i+1, strings.Join(lines, ", ")))
		}
	}
	err = errors.Join(err, s.Restart(context.WithoutCancel(ctx), leader), s.whole(ctx))
	if err != nil || ctx.Err() != nil {
		return agains, err
	}
	store, err := s.open(ctx, database)
	if err != nil {
		return agains, err
	}
	var once, rows int
	err = store.StoreReader().QueryRowContext(ctx, "SELECT count(DISTINCT step), count(*) FROM applied").Scan(&once, &rows)
	if err == nil && (once != 2*steps || rows != 2*steps) {
		err = fmt.Errorf("%d of %d halves of migrations were applied, %d times in all", once, 2*steps, rows)
	}
	return agains, errors.Join(err, schema.Validate(ctx, store.DB()))
}
