package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/torture/bank"
	"github.com/sqlane/sqlane/torture/child"
	"github.com/sqlane/sqlane/torture/trial"
)

// Roles are those of this package's processes.
var Roles = map[string]child.Role{"cluster client": work, "cluster holder": hold, "cluster migrator": migrator}

// client is what a process is told.
type client struct {
	Members []string
	ID      int // its writers are numbered from 100 times this on
	Seed    uint64
}

const (
	each        = 8 // writers of a process
	holding     = "holding"
	complaining = "error "
)

var saying sync.Mutex

func say(line string) {
	saying.Lock()
	defer saying.Unlock()
	_, _ = os.Stdout.WriteString(strings.ReplaceAll(line, "\n", " ") + "\n")
}

func (c client) open() (*dqlite.Store, error) {
	return dqlite.Open(context.Background(), config(c.Members, bankDB))
}

// work is a process that writes until its standard input ends.
func work(text []byte) error {
	var c client
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	s, err := c.open()
	if err != nil {
		say(complaining + err.Error())
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for w := range each {
		wg.Go(func() {
			doubt := false
			for seq := 1; ctx.Err() == nil; {
				ack, _, err := bank.Setup{Run: 1, Seed: c.Seed}.MoveInStore(context.WithoutCancel(ctx), s, 100*c.ID+w, seq, doubt)
				switch {
				case err == nil:
					say(ack.String())
					seq, doubt = seq+1, false
				case errors.Is(err, dqlite.ErrCommitUnknown):
					doubt = true
				case !lostLeader(err):
					say(complaining + err.Error())
					return
				}
			}
		})
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	stop()
	wg.Wait()
	return errors.Join(err, s.Close())
}

var errForever = errors.New("the transaction was to be killed")

// hold is a process that does half a movement and stays in the midst of it.
func hold(text []byte) error {
	var c client
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	s, err := c.open()
	if err != nil {
		say(complaining + err.Error())
		return nil
	}
	err = s.StoreInTx(context.Background(), pool.Immediate, func(ctx context.Context, tx pool.StoreTx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE account SET balance = balance - 1 WHERE id = 1"); err != nil {
			return err
		}
		say(holding)
		_, _ = io.Copy(io.Discard, os.Stdin)
		return errForever
	})
	say(complaining + err.Error())
	return s.Close()
}

// process is one that was started.
type process struct {
	*child.Child
	said  []string
	acks  int
	holds bool
	wrong error
}

// hear takes over what it has said.
func (p *process) hear() {
	for {
		select {
		case line, there := <-p.Lines:
			if !there {
				return
			}
			p.take(line)
		default:
			return
		}
	}
}

func (p *process) take(line string) {
	p.said = append(p.said, line)
	switch {
	case line == holding:
		p.holds = true
	case strings.HasPrefix(line, complaining):
		p.wrong = errors.Join(p.wrong, errors.New(line))
	default:
		p.acks++
	}
}

func (p *process) kill() {
	p.Kill()
	rest, _ := p.Wait() // the error is that it was killed
	for _, line := range rest {
		p.take(line)
	}
}

// clientsKilled kills processes that work, some of them in the midst of a transaction.
func clientsKilled(ctx context.Context, plan trial.Plan, node, name string) []trial.Row {
	row := trial.Row{Section: Section, Name: name, Attempts: 1}
	s, err := open(ctx, plan, node, name)
	if err != nil {
		row.Err = err
		return []trial.Row{row}
	}
	row.Err = s.killClients(ctx, &row, plan.Times(40, 4))
	row.Err = errors.Join(row.Err, s.close())
	return []trial.Row{row}
}

const clients = 3

func (s *stage) killClients(ctx context.Context, row *trial.Row, times int) (err error) {
	store, err := s.open(ctx, bankDB)
	if err != nil {
		return err
	}
	if err := patiently(ctx, func() error { return bank.PrepareStore(ctx, store) }); err != nil {
		return err
	}
	var all, working []*process
	defer func() {
		for _, p := range all {
			p.kill()
		}
	}()
	start := func(role string) (*process, error) {
		c, err := child.Start(role, client{Members: s.Addresses(), ID: 1 + len(all), Seed: s.plan.Seed})
		if err != nil {
			return nil, err
		}
		p := &process{Child: c}
		all = append(all, p)
		return p, nil
	}
	wait := func(what string, so func() bool) error {
		for deadline := time.Now().Add(patience); ctx.Err() == nil; rest(ctx, 10*time.Millisecond) {
			for _, p := range all {
				if p.hear(); p.wrong != nil {
					return p.wrong
				}
			}
			if so() {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s: not after %v", what, patience)
			}
		}
		return nil
	}
	getOn := func() error {
		before := map[*process]int{}
		for _, p := range working {
			before[p] = p.acks
		}
		return wait("every process gets on", func() bool {
			return !slices.ContainsFunc(working, func(p *process) bool { return p.acks < before[p]+3 })
		})
	}
	for range clients {
		p, err := start("cluster client")
		if err != nil {
			return err
		}
		working = append(working, p)
	}
	held := 0
	for i := 0; i < times && ctx.Err() == nil; i++ {
		if err := getOn(); err != nil {
			return err
		}
		s.plan.Progress("%s: %d of %d", row.Name, i, times)
		if i%2 == 0 {
			p, err := start("cluster holder")
			if err != nil {
				return err
			}
			if err := wait("one holds the write lock", func() bool { return p.holds }); err != nil {
				return err
			}
			p.kill()
			held++
		} else {
			victim := s.rng.IntN(len(working))
			trial.Pause(ctx, s.rng, 50*time.Millisecond)
			working[victim].kill()
			if working[victim], err = start("cluster client"); err != nil {
				return err
			}
		}
		row.Faults++
	}
	err = getOn()
	var told []bank.Ack
	for _, p := range working {
		rest, ended := p.End()
		for _, line := range rest {
			p.take(line)
		}
		err = errors.Join(err, ended)
	}
	for _, p := range all {
		acks, _ := bank.Report(p.said)
		told = append(told, acks...)
		err = errors.Join(err, p.wrong)
	}
	row.Acknowledged = len(told)
	row.Add("%d were killed with the write lock", held)
	if err == nil && ctx.Err() == nil {
		row.Lost, err = s.audit(ctx, bankDB, 1, told)
	}
	return err
}
