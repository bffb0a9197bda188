package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/torture/bank"
	"github.com/sqlane/sqlane/torture/history"
	"github.com/sqlane/sqlane/torture/trial"
)

// bankers are 50 writers, who work on their Stores until they are told to stop.
type bankers struct {
	setup  bank.Setup
	stores []*dqlite.Store
	pause  time.Duration  // between two movements of one, at most
	acks   []atomic.Int64 // by Store

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu                     sync.Mutex // It guards the fields below.
	told                   []bank.Ack
	unknown, there, failed int
	wrong                  error
}

const writers = 50

func startBankers(ctx context.Context, setup bank.Setup, stores []*dqlite.Store, pause time.Duration) *bankers {
	b := &bankers{setup: setup, stores: stores, pause: pause, acks: make([]atomic.Int64, len(stores))}
	b.ctx, b.stop = context.WithCancel(ctx)
	for w := range writers {
		b.wg.Go(func() { b.write(w) })
	}
	return b
}

func (b *bankers) write(w int) {
	of := w % len(b.stores)
	rng := rand.New(rand.NewPCG(b.setup.Seed, uint64(w)))
	doubt := false
	for seq := 1; b.ctx.Err() == nil; {
		ack, found, err := b.setup.MoveInStore(context.WithoutCancel(b.ctx), b.stores[of], w, seq, doubt)
		b.mu.Lock()
		switch {
		case err == nil:
			b.told = append(b.told, ack)
			b.acks[of].Add(1)
			seq++
			doubt = false
			if found {
				b.there++
			}
		case errors.Is(err, dqlite.ErrCommitUnknown):
			b.unknown++
			doubt = true
		case lostLeader(err):
			b.failed++ // nothing was done, and so it is done again without looking
		default:
			b.wrong = errors.Join(b.wrong, fmt.Errorf("writer %d: %w", w, err))
			b.stop()
		}
		b.mu.Unlock()
		rest(b.ctx, time.Duration(rng.Int64N(int64(b.pause))))
	}
}

// getOn waits until each Store's writers have got some more promises, those of some Stores
// alone if they are named.
func (b *bankers) getOn(ctx context.Context, only ...int) error {
	before := make([]int64, len(b.acks))
	for i := range b.acks {
		before[i] = b.acks[i].Load()
	}
	if only == nil {
		for i := range b.acks {
			only = append(only, i)
		}
	}
	for deadline := time.Now().Add(patience); ; {
		behind := -1
		for _, i := range only {
			if b.acks[i].Load() < before[i]+3 {
				behind = i
			}
		}
		switch {
		case behind < 0 || ctx.Err() != nil:
			return nil
		case b.ctx.Err() != nil:
			return nil // end tells why
		case time.Now().After(deadline):
			err := fmt.Errorf("the writers of Store %d did not get on for %v", behind, patience)
			for i, store := range b.stores {
				err = fmt.Errorf("%w; Store %d, %d more promises: %+v", err, i, b.acks[i].Load()-before[i], store.Stats())
			}
			return err
		}
		rest(ctx, 10*time.Millisecond)
	}
}

func (b *bankers) end(row *trial.Row) {
	b.stop()
	b.wg.Wait()
	row.Acknowledged += len(b.told)
	row.Err = errors.Join(row.Err, b.wrong)
	row.Add("%d commits unknown, %d of them there; %d failed and were done again", b.unknown, b.there, b.failed)
}

// chroniclers record histories of lists.
type chroniclers struct {
	enough chan struct{}
	once   sync.Once
	done   atomic.Int64
	over   chan struct{}
	report history.ClusterReport
	err    error
}

func startChroniclers(ctx context.Context, seed uint64, stores []*dqlite.Store) *chroniclers {
	c := &chroniclers{enough: make(chan struct{}), over: make(chan struct{})}
	go func() {
		defer close(c.over)
		var all []history.Store
		for _, s := range stores {
			all = append(all, s)
		}
		c.report, c.err = history.OnCluster(ctx, history.ClusterOptions{
			Stores: all, Goroutines: 20, AtMost: 100_000, Enough: c.enough, Seed: seed,
			Done: func() { c.done.Add(1) },
		})
	}()
	return c
}

func (c *chroniclers) end(ctx context.Context, row *trial.Row) {
	c.once.Do(func() { close(c.enough) })
	<-c.over
	r := c.report
	row.Acknowledged, row.Lost = r.Committed, r.Anomalies
	row.Add("%d transactions; %d commits unknown, %d of them there; %d of %d that only read were stale", r.Transactions, r.Unknown, r.Settled, r.Stale, r.Plain)
	if ctx.Err() == nil {
		row.Err = errors.Join(row.Err, c.err)
	}
	for _, a := range r.Found {
		row.Err = errors.Join(row.Err, fmt.Errorf("%s: %s", a.Name, a.Text))
	}
}

const (
	bankDB  = "bank.db"
	listsDB = "lists.db"
	hastyDB = "hasty.db"
)

// disturb has a bank and histories worked on while the cluster is disturbed so many times,
// and checks both. at opens the Stores of one of them, which are several processes'.
func disturb(ctx context.Context, s *stage, name string, at func(database string) ([]*dqlite.Store, error), times int, fault func(b *bankers, i int) error) []trial.Row {
	money := trial.Row{Section: Section, Name: name + ", bank", Attempts: 1}
	lists := trial.Row{Section: Section, Name: name + ", histories", Attempts: 1}
	fail := func(err error) []trial.Row {
		money.Err = errors.Join(money.Err, err)
		return []trial.Row{money}
	}
	banks, err := at(bankDB)
	if err != nil {
		return fail(err)
	}
	scribes, err := at(listsDB)
	if err != nil {
		return fail(err)
	}
	if err := errors.Join(patiently(ctx, func() error { return bank.PrepareStore(ctx, banks[0]) }),
		patiently(ctx, func() error { return history.PrepareCluster(ctx, scribes[0]) })); err != nil {
		return fail(err)
	}
	setup := bank.Setup{Run: 1, Seed: s.plan.Seed}
	b := startBankers(ctx, setup, banks, 200*time.Millisecond)
	c := startChroniclers(ctx, s.plan.Seed, scribes)
	for i := range times {
		if money.Err = b.getOn(ctx); money.Err != nil || ctx.Err() != nil || b.ctx.Err() != nil {
			break
		}
		s.plan.Progress("%s: %d of %d", name, i, times)
		if money.Err = fault(b, i); money.Err != nil {
			break
		}
		money.Faults++
	}
	lists.Faults = money.Faults
	if money.Err == nil {
		money.Err = errors.Join(s.whole(ctx), b.getOn(ctx))
	}
	b.end(&money)
	c.end(ctx, &lists)
	if ctx.Err() == nil && money.Err == nil {
		money.Lost, money.Err = s.audit(ctx, bankDB, setup.Run, b.told)
	}
	return []trial.Row{money, lists}
}

// patiently does something until there is a leader for it. What it does can be done twice.
func patiently(ctx context.Context, do func() error) (err error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && ctx.Err() == nil; {
		if err = do(); !lostLeader(err) {
			return err
		}
	}
	return err
}
