package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/pool"
)

// Options are what Run is asked for.
type Options struct {
	Dir          string // where the databases go; they are not removed
	Goroutines   int    // how many run transactions at once; 0: 20
	Transactions int    // of each setting and workload; 0: 1000
	Seed         uint64 // of the random programs; how they meet is the scheduler's
	Progress     func(done, of int)
}

// Report is what Run did and found.
type Report struct {
	Histories    int
	Transactions int // runs of functions, checked
	Committed    int
	Failed       int // of them: error, panic, Goexit, cancelled, lost, conflict
	Undone       int // savepoints
	Reads        int
	Kinds        map[Kind]int // committed, by kind
	Anomalies    int
	Found        []Anomaly // the first of them of each history
}

// setting is how a database is opened.
type setting struct {
	name  string
	cfg   pool.Config
	pools int // on the same file
}

func settings() (all []setting) {
	for _, mode := range []string{"wal", "delete", "memory"} {
		for _, conns := range []int{1, 8} {
			all = append(all, setting{fmt.Sprintf("%s-%d", mode, conns), config(mode, conns), 1})
		}
	}
	shared := config("wal", 4)
	shared.BusyTimeout = 50 * time.Millisecond // a pool may starve another: their queues are two
	return append(all, setting{"wal-shared", shared, 2})
}

func config(mode string, conns int) pool.Config {
	cfg := pool.Config{MaxConns: conns, AcquireTimeout: time.Minute, Synchronous: "off", JournalMode: pool.JournalMode(mode)}
	if mode == "memory" {
		cfg.Path, cfg.JournalMode = pool.Memory, ""
	}
	return cfg
}

// Run has random transactions meet in every setting, and checks their histories.
// Its error is one of running them: what was found is in the report.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.Goroutines == 0 {
		o.Goroutines = 20
	}
	if o.Transactions == 0 {
		o.Transactions = 1000
	}
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	report := Report{Kinds: map[Kind]int{}}
	all := settings()
	for i, s := range all {
		o.Progress(i, len(all))
		if err := runSetting(ctx, o, s, &report); err != nil {
			return report, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	o.Progress(len(all), len(all))
	return report, nil
}

func runSetting(ctx context.Context, o Options, s setting, report *Report) (err error) {
	if s.cfg.Path == "" {
		s.cfg.Path = filepath.Join(o.Dir, s.name+".db")
	}
	var ways pools
	for range s.pools {
		p, err := pool.Open(ctx, s.cfg)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.Close()) }()
		ways = append(ways, p)
	}
	if err := createTables(ctx, ways[0]); err != nil {
		return err
	}
	lists := &workload{ways: ways, kinds: allKinds, seed: o.Seed, contended: s.pools > 1}
	if err := lists.run(ctx, o.Goroutines, o.Transactions); err != nil {
		return err
	}
	h := lists.history()
	report.add(s.name, h, h.CheckLists())
	// A search takes only so many transactions at a time, so registers are
	// used by a round of them, and then others.
	const round = 100
	for done := 0; done < o.Transactions; done += round {
		registers := &workload{ways: ways, kinds: allKinds, seed: o.Seed + uint64(done) + 1, registers: true, firstKey: firstRegister + done*keysAtOnce, contended: s.pools > 1}
		if err := registers.run(ctx, o.Goroutines, min(round, o.Transactions-done)); err != nil {
			return err
		}
		h := registers.history()
		found, err := h.CheckLinear(ctx)
		if err != nil {
			return err
		}
		report.add(s.name, h, found)
	}
	return nil
}

func (r *Report) add(name string, h *History, found []Anomaly) {
	r.Histories++
	for _, t := range h.Txns {
		r.Transactions++
		if t.Committed {
			r.Committed++
			r.Kinds[t.Kind]++
		} else {
			r.Failed++
		}
		for _, op := range t.Ops {
			switch op.Verb {
			case Undo:
				r.Undone++
			case Read:
				r.Reads++
			}
		}
	}
	r.Anomalies += len(found)
	for _, a := range found[:min(len(found), 5)] {
		r.Found = append(r.Found, Anomaly{a.Name, name + ": " + a.Text})
	}
}

// dbtx is what a transaction's function works with.
type dbtx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// body is a transaction's function.
type body func(ctx context.Context, tx dbtx) error

// ways are the ways to run transactions: real pools', or in tests faulty ones.
type ways interface {
	run(ctx context.Context, rng *rand.Rand, kind Kind, fn body) error
	nest(ctx context.Context, rng *rand.Rand, tx dbtx, fn body) error
}

// pools are on the same database.
type pools []*pool.Pool

func (ps pools) run(ctx context.Context, rng *rand.Rand, kind Kind, fn body) error {
	p := ps[rng.IntN(len(ps))]
	inner := inPool(fn)
	switch kind {
	case Batch:
		return p.Batch(ctx, inner)
	case View:
		return p.View(ctx, inner)
	case Repeatable:
		return p.InTx(ctx, pool.Deferred, inner, pool.Repeatable())
	case Deferred:
		return p.InTx(ctx, pool.Deferred, inner)
	case Exclusive:
		return p.InTx(ctx, pool.Exclusive, inner)
	case Begun:
		return begun(ctx, p, fn)
	}
	return p.InTx(ctx, pool.Immediate, inner)
}

func begun(ctx context.Context, p *pool.Pool, fn body) error {
	tx, err := p.Begin(ctx, pool.Immediate)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // after a commit it does nothing
	if err := fn(ctx, tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func (ps pools) nest(ctx context.Context, rng *rand.Rand, tx dbtx, fn body) error {
	for _, p := range ps {
		if p.TxFromContext(ctx) == nil {
			continue
		}
		switch rng.IntN(3) {
		case 0:
			return p.InTx(ctx, pool.Deferred, inPool(fn))
		case 1:
			return p.Batch(ctx, inPool(fn))
		}
	}
	return tx.(*pool.Tx).Savepoint(ctx, inPool(fn))
}

func inPool(fn body) func(context.Context, *pool.Tx) error {
	return func(ctx context.Context, tx *pool.Tx) error { return fn(ctx, tx) }
}

// Lists and registers are text: numbers, separated by spaces. There is a row in
// lone, so that one more can be refused.
const schema = `
CREATE TABLE cell (key INTEGER PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE lone (id INTEGER PRIMARY KEY) STRICT;
INSERT INTO lone VALUES (1)`

func createTables(ctx context.Context, p *pool.Pool) error {
	return p.InTx(ctx, pool.Immediate, func(ctx context.Context, tx *pool.Tx) error {
		_, err := tx.ExecContext(ctx, schema)
		return err
	})
}

const (
	readOne  = "SELECT key, value FROM cell WHERE key = ?"
	readSome = "SELECT key, value FROM cell WHERE key BETWEEN ? AND ? ORDER BY key"
	appendTo = "INSERT INTO cell VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value || ' ' || excluded.value"
	replace  = "INSERT INTO cell VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
	refused  = "INSERT INTO lone VALUES (1)"
	lost     = "INSERT OR ROLLBACK INTO lone VALUES (1)"
)

// workload is a number of random transactions on a few keys.
type workload struct {
	ways      ways
	seed      uint64
	registers bool
	firstKey  int
	contended bool // by another pool, whose locks may be waited for in vain
	kinds     []Kind
	recorder  recorder

	cluster bool                        // It may lose its leader at any moment.
	enough  <-chan struct{}             // It is closed when there are enough transactions; nil: never.
	settle  func(context.Context) error // It is called before the last read, if it isn't nil.
}

// keysAtOnce is how many keys transactions choose from. After moveEvery
// transactions half of them are replaced, or their lists would grow too long.
const (
	keysAtOnce    = 6
	moveEvery     = 150
	firstRegister = 1 << 40 // beyond every list
)

func (w *workload) history() *History {
	return &History{Registers: w.registers, Txns: w.recorder.txns}
}

// run has n transactions meet, or fewer if there are enough before, then reads what is left.
func (w *workload) run(ctx context.Context, goroutines, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	numbers := make(chan int)
	for g := range goroutines {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(w.seed, uint64(g)))
			for i := range numbers {
				if err := w.transaction(ctx, rng, w.kinds[rng.IntN(len(w.kinds))], w.firstKey+i/moveEvery*keysAtOnce/2); err != nil {
					cancel(err)
				}
			}
		})
	}
	done := 0
	for over := false; done < n && !over && ctx.Err() == nil; {
		select {
		case numbers <- done:
			done++
		case <-w.enough:
			over = true
		}
	}
	close(numbers)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if w.settle != nil {
		if err := w.settle(ctx); err != nil {
			return err
		}
	}
	for {
		final := w.recorder.begin(View)
		err := w.ways.run(ctx, rand.New(rand.NewPCG(w.seed, 0)), View, func(ctx context.Context, tx dbtx) error {
			p := program{w: w, txn: final, tx: tx}
			return p.read(ctx, readSome, w.firstKey, w.firstKey+done/moveEvery*keysAtOnce/2+keysAtOnce-1)
		})
		w.recorder.end(final, err == nil)
		if !w.cluster || !lostLeader(err) || ctx.Err() != nil {
			return err
		}
	}
}

var allKinds = []Kind{Deferred, Repeatable, Immediate, Exclusive, Begun, Batch, Batch, View}

// transaction runs one, and returns an error if it failed in a way in which none may.
func (w *workload) transaction(ctx context.Context, rng *rand.Rand, kind Kind, firstKey int) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	if rng.IntN(8) == 0 { // whatever it does then
		inner, cancel = context.WithTimeout(ctx, time.Duration(rng.IntN(2000))*time.Microsecond)
		defer cancel()
	}
	if kind == Single {
		return w.single(inner, rng, firstKey+rng.IntN(keysAtOnce))
	}
	var txn *Txn
	err := contain(func() error {
		return w.ways.run(inner, rng, kind, func(ctx context.Context, tx dbtx) error {
			if txn != nil { // it runs again, so that time did not count
				w.recorder.end(txn, false)
			}
			txn = w.recorder.begin(kind)
			p := program{w: w, rng: rng, txn: txn, firstKey: firstKey, cancel: cancel}
			return p.steps(ctx, tx, 0)
		})
	})
	if txn != nil {
		txn.Unknown = errors.Is(err, dqlite.ErrCommitUnknown)
		w.recorder.end(txn, err == nil)
	}
	if err != nil && !w.expected(kind, err) && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}

var (
	errOurs   = errors.New("fn failed")
	errPanic  = errors.New("fn panicked")
	errGoexit = errors.New("fn ended its goroutine")
)

// expected tells the failures that are part of the game.
func (w *workload) expected(kind Kind, err error) bool {
	for _, ours := range []error{errOurs, errPanic, errGoexit, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ours) {
			return true
		}
	}
	switch {
	case w.cluster && lostLeader(err):
		return true
	case errors.Is(err, pool.ErrTxLost):
		return dberr.Kind(err) == dberr.ErrDuplicate
	case errors.Is(err, pool.ErrConflict):
		return kind == Deferred || kind == Repeatable && w.contended
	case errors.Is(err, pool.ErrReadOnly):
		return kind == View
	case errors.Is(err, pool.ErrBusy):
		return w.contended
	}
	return dberr.Kind(err) == dberr.ErrDuplicate
}

// contain runs f in a goroutine of its own, and makes errors of its panic and of its Goexit.
func contain(f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = errGoexit
		defer func() {
			if r := recover(); r != nil {
				err = errPanic
				if r != any(errPanic) {
					err = fmt.Errorf("unexpected panic: %v", r)
				}
			}
		}()
		err = f()
	}()
	<-done
	return err
}

// program is the random function of one transaction.
type program struct {
	w        *workload
	rng      *rand.Rand
	txn      *Txn
	tx       dbtx
	firstKey int
	cancel   context.CancelFunc
}

const maxDepth = 3

// steps does a few things, then fails or not.
func (p program) steps(ctx context.Context, tx dbtx, depth int) error {
	p.tx = tx
	for range 1 + p.rng.IntN(6) {
		if err := p.step(ctx, depth); err != nil && p.rng.IntN(3) > 0 { // else it is swallowed
			return err
		}
	}
	switch p.rng.IntN(40) {
	case 0, 1, 2, 3:
		return errOurs
	case 4:
		panic(errPanic)
	case 5:
		runtime.Goexit()
	case 6:
		p.cancel()
	}
	return nil
}

func (p program) step(ctx context.Context, depth int) error {
	key := p.firstKey + p.rng.IntN(keysAtOnce)
	what := p.rng.IntN(40)
	if p.txn.Kind == View && what >= 10 && what < 26 && p.rng.IntN(4) > 0 {
		what = 0 // mostly it does not try
	}
	switch {
	case what < 10:
		return p.read(ctx, readOne, key, key)
	case what < 12:
		return p.read(ctx, readSome, p.firstKey, p.firstKey+keysAtOnce-1)
	case what < 18:
		return p.write(ctx, key)
	case what < 26:
		return p.rewrite(ctx, key)
	case what < 35 && depth < maxDepth:
		return p.savepoint(ctx, depth)
	case what == 36:
		_, err := p.tx.ExecContext(ctx, refused)
		return err
	case what == 37 && p.rng.IntN(3) == 0:
		_, err := p.tx.ExecContext(ctx, lost)
		return err
	}
	runtime.Gosched()
	return nil
}

// read reads the keys from first to last, of which there may be no rows yet.
func (p program) read(ctx context.Context, query string, first, last int) error {
	args := []any{first, last}
	if query == readOne {
		args = args[:1]
	}
	rows, err := p.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	seen := make([][]int, last-first+1)
	for rows.Next() {
		var key int
		var text string
		if err := rows.Scan(&key, &text); err != nil {
			return err
		}
		for word := range strings.FieldsSeq(text) {
			value, err := strconv.Atoi(word)
			if err != nil {
				return err
			}
			seen[key-first] = append(seen[key-first], value)
		}
		runtime.Gosched()
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for i, values := range seen {
		p.txn.note(Op{Verb: Read, Key: first + i, Seen: values})
	}
	return nil
}

// write writes without looking.
func (p program) write(ctx context.Context, key int) error {
	query := appendTo
	if p.w.registers {
		query = replace
	}
	value := int(p.w.recorder.values.Add(1))
	return p.noteWrite(ctx, query, key, value, strconv.Itoa(value))
}

// rewrite reads, and writes what follows from that.
func (p program) rewrite(ctx context.Context, key int) error {
	if err := p.read(ctx, readOne, key, key); err != nil {
		return err
	}
	value := int(p.w.recorder.values.Add(1))
	text := strconv.Itoa(value)
	if !p.w.registers {
		seen := slices.Concat(p.txn.Ops[len(p.txn.Ops)-1].Seen, []int{value})
		text = strings.Trim(fmt.Sprint(seen), "[]")
	}
	return p.noteWrite(ctx, replace, key, value, text)
}

func (p program) noteWrite(ctx context.Context, query string, key, value int, text string) error {
	_, err := p.tx.ExecContext(ctx, query, key, text)
	p.txn.note(Op{Verb: Write, Key: key, Value: value, Failed: err != nil && !errors.Is(err, dqlite.ErrCommitUnknown)})
	return err
}

// savepoint does some steps in one; half the time what goes through it stops here.
func (p program) savepoint(ctx context.Context, depth int) error {
	nest := func() (err error) {
		p.txn.note(Op{Verb: Save})
		end := Undo // by panic and Goexit too
		defer func() { p.txn.note(Op{Verb: end}) }()
		if err = p.w.ways.nest(ctx, p.rng, p.tx, func(ctx context.Context, tx dbtx) error { return p.steps(ctx, tx, depth+1) }); err == nil {
			end = Keep
		}
		return err
	}
	if p.rng.IntN(2) == 0 {
		return nest()
	}
	return contain(nest)
}
