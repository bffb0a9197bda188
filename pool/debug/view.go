package debug

import (
	"cmp"
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sqlane/sqlane/pool"
)

// view is what a page shows.
type view struct {
	Title   string
	Now     time.Time
	Missing bool // There is no such pool.
	Listed  bool // There is a list that leads here.
	Pools   *list
	Pool    *detail
}

// list is the page of several pools.
type list struct {
	Rows    []row
	Waiting int // So many pools have somebody waiting.
	Leases  int // In all of them so many connections are in use.
}

type row struct {
	Number     int
	Name, Path string
	health
	pool.Stats
	Writer  *pool.LeaseInfo
	Oldest  *pool.LeaseInfo
	Watches int
}

// health is a pool's state as the page has it.
type health struct {
	Word string
	Mood string // It is drawn so: good, odd or bad.
}

func healthOf(a pool.Activity) health {
	switch {
	case a.State == pool.StateMoved:
		return health{"file moved", "bad"}
	case a.State == pool.StateServing && a.Shrunk != nil:
		return health{"cannot open more connections", "bad"}
	case a.State == pool.StateServing:
		return health{string(a.State), "good"}
	}
	return health{string(a.State), "odd"}
}

// detail is the page of one pool.
type detail struct {
	Name string
	health
	pool.Activity
	Stats   pool.Stats
	Trouble string // It says why no more connections can be opened.

	Held    []lease
	Writer  *lease   // This one has the write lane; nil if none does.
	Reading []waiter // These wait for a connection,
	Writing []waiter // and these for the write lane.
	Open    []lease  // These are in a transaction.
	Pinning []lease  // These keep the log from starting anew, the first one longest.
	Large   bool     // The log is larger than it is kept.

	Queries []query
	Columns []column
	Shown   int
	All     int
	ShowAll string // It leads to all of them.
	HitRate string
	Figures []figure
}

// lease is a lease as the page has it.
type lease struct {
	pool.LeaseInfo
	ID   string
	Does []string // what is to be said of it
	Kind string   // of its transaction
}

// waiter is somebody who waits, as the page has it.
type waiter struct {
	pool.WaiterInfo
	ID, For string
}

// query is a statement as the page has it.
type query struct {
	pool.Query
	ID   string
	Mean time.Duration
	Head string // It is the statement's beginning, if that is long.
}

// column is one that statements can be sorted by.
type column struct{ Name, Link, Sort string }

type figure struct {
	Name  string
	Value string
}

// nameOf is the name that metrics tell the pool by, without the directories of a path
// that was not given another one.
func nameOf(p *pool.Pool, path string) string {
	name := p.Name()
	if path == "" {
		return "never opened"
	}
	if number, ok := strings.CutPrefix(name, pool.Memory); ok {
		return "in memory" + number
	}
	if filepath.Base(name) == filepath.Base(path) {
		return filepath.Base(path)
	}
	return name
}

func (h *handler) overview() view {
	pools := h.pools()
	numbers := h.number(pools)
	l := &list{Rows: make([]row, 0, len(pools))}
	for _, p := range pools {
		a := p.Activity()
		r := row{Number: numbers[p], Name: nameOf(p, a.Path), Path: a.Path, health: healthOf(a), Stats: p.Stats(), Watches: a.Watchers}
		if len(a.Leases) > 0 {
			r.Oldest = &a.Leases[0]
		}
		for i := range a.Leases {
			if a.Leases[i].Writes {
				r.Writer = &a.Leases[i]
			}
		}
		if r.Waiting > 0 {
			l.Waiting++
		}
		l.Leases += r.InUse
		l.Rows = append(l.Rows, r)
	}
	return view{Title: "Pools", Pools: l}
}

func viewOf(p *pool.Pool, asked url.Values, listed bool) view {
	d := &detail{Activity: p.Activity(), Stats: p.Stats()}
	d.Name, d.health = nameOf(p, d.Path), healthOf(d.Activity)
	if d.Shrunk != nil {
		d.Trouble = "No more connections can be opened."
		if code, ok := pool.Code(d.Shrunk); ok {
			d.Trouble = fmt.Sprintf("No more connections can be opened: SQLite's code %d.", code)
		}
	}
	ids := make(names)
	for _, info := range d.Leases {
		l := lease{LeaseInfo: info, ID: ids.of("lease-", info.Since), Kind: kindOf(info), Does: doesOf(info)}
		d.Held = append(d.Held, l)
		if l.Writes {
			d.Writer = &l
		}
		if l.InTx {
			d.Open = append(d.Open, l)
		}
		if l.Reads {
			d.Pinning = append(d.Pinning, l)
		}
	}
	for _, w := range d.ReadQueue {
		d.Reading = append(d.Reading, waiter{w, ids.of("reader-", w.Since), age(now().Sub(w.Since))})
	}
	for _, w := range d.WriteQueue {
		d.Writing = append(d.Writing, waiter{w, ids.of("writer-", w.Since), age(now().Sub(w.Since))})
	}
	d.Large = d.WALBytes > d.WALKept
	if used := d.Stats.StatementHits + d.Stats.StatementMisses; used > 0 {
		d.HitRate = fmt.Sprintf("%.1f %%", 100*float64(d.Stats.StatementHits)/float64(used))
	}
	d.statements(p.Queries(), asked)
	d.figures()
	return view{Title: d.Name, Listed: listed, Pool: d}
}

// names are elements' ids, which stay the same from page to page.
type names map[string]int

func (n names) of(kind string, since time.Time) string {
	id := kind + strconv.FormatInt(since.UnixNano(), 36)
	if n[id]++; n[id] > 1 {
		id += "-" + strconv.Itoa(n[id])
	}
	return id
}

// kindOf names a transaction.
func kindOf(l pool.LeaseInfo) string {
	switch {
	case !l.InTx:
		return ""
	case l.View:
		return "view"
	}
	return l.Level.String()
}

// doesOf says of a lease what is not the rule.
func doesOf(l pool.LeaseInfo) (does []string) {
	say := func(so bool, text string) {
		if so {
			does = append(does, text)
		}
	}
	say(l.Own, "maintenance")
	say(l.Beside, "carries the state of a *sql.DB")
	say(l.InTx && l.View, "view")
	say(l.InTx && !l.View, l.Level.String()+" transaction")
	say(l.Savepoints == 1, "1 savepoint")
	say(l.Savepoints > 1, count(l.Savepoints)+" savepoints")
	say(l.Writes, "has the write lane")
	say(l.Reads, "keeps a snapshot")
	switch {
	case l.State == pool.LeaseExecuting && !l.Began.IsZero():
		say(true, "executing for "+age(now().Sub(l.Began)))
	case l.State == pool.LeaseIdle && l.SQL != "":
		say(true, "reading rows")
	case l.State == pool.LeaseUnknown:
		say(true, "in between, or in Raw")
	default:
		say(true, string(l.State))
	}
	return does
}

// orders are those in which statements are shown, by the page's parameter.
var orders = []struct {
	sort, name string
	by         func(q query) float64
}{
	{"calls", "Calls", func(q query) float64 { return float64(q.Calls) }},
	{"time", "Total", func(q query) float64 { return float64(q.Time) }},
	{"mean", "Mean", func(q query) float64 { return float64(q.Mean) }},
	{"longest", "Longest", func(q query) float64 { return float64(q.Longest) }},
	{"failures", "Failed", func(q query) float64 { return float64(q.Failures) }},
	{"prepared", "Prepared", func(q query) float64 { return float64(q.Prepared) }},
}

// shownQueries is how many statements are shown unless all are asked for.
const shownQueries = 25

func (d *detail) statements(all []pool.Query, asked url.Values) {
	_, every := asked["all"]
	link := func(sort string, every bool) string {
		q := url.Values{}
		if n := asked.Get("pool"); n != "" {
			q.Set("pool", n)
		}
		if sort != "time" {
			q.Set("sort", sort)
		}
		if every {
			q.Set("all", "")
		}
		return "?" + q.Encode() + "#statements"
	}
	for _, q := range all {
		shown := query{Query: q, Mean: q.Time / time.Duration(max(q.Calls, 1)), ID: "q-" + strconv.FormatUint(hash(q.SQL), 36)}
		if text := []rune(q.SQL); len(text) > 240 {
			shown.Head = string(text[:200]) + "…"
		}
		d.Queries = append(d.Queries, shown)
	}
	chosen := "time"
	for _, o := range orders {
		c := column{Name: o.name, Link: link(o.sort, every)}
		if o.sort == asked.Get("sort") {
			chosen = o.sort
			slices.SortStableFunc(d.Queries, func(a, b query) int { return cmp.Compare(o.by(b), o.by(a)) })
		}
		d.Columns = append(d.Columns, c)
	}
	for i, o := range orders {
		if o.sort == chosen {
			d.Columns[i].Sort = "descending"
		}
	}
	d.All, d.Shown = len(all), len(all)
	if !every && d.All > shownQueries {
		d.Shown = shownQueries
		d.Queries = d.Queries[:shownQueries]
		d.ShowAll = link(chosen, true)
	}
}

// hash is FNV-1a's.
func hash(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}

// figures are all of Stats, by their names.
func (d *detail) figures() {
	v := reflect.ValueOf(d.Stats)
	for i := range v.NumField() {
		f := figure{Name: v.Type().Field(i).Name}
		switch value := v.Field(i).Interface().(type) {
		case time.Duration:
			f.Value = age(value)
		case uint64:
			f.Value = count(value)
		case int:
			f.Value = count(value)
		case int64:
			f.Value = size(value)
		}
		d.Figures = append(d.Figures, f)
	}
}

// Age is how long it is that something has gone on.
func (v view) Age(since time.Time) string { return age(v.Now.Sub(since)) }

// directories are those of a package or a file.
var directories = regexp.MustCompile(`[^ (]*/`)

// short is a function without its package's and its file's directories.
func short(by string) string { return directories.ReplaceAllString(by, "") }

func now() time.Time { return time.Now() }

// age is a duration in two or three digits.
func age(d time.Duration) string {
	switch d = max(d, 0); {
	case d == 0:
		return "0"
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case d < time.Millisecond:
		return digits(float64(d)/float64(time.Microsecond)) + " µs"
	case d < time.Second:
		return digits(float64(d)/float64(time.Millisecond)) + " ms"
	case d < time.Minute:
		return digits(d.Seconds()) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// digits cuts off what comes after them: rounded, the largest of a unit would be one of
// the next.
func digits(f float64) string {
	if f < 10 {
		return strconv.FormatFloat(math.Trunc(f*10)/10, 'f', 1, 64)
	}
	return strconv.Itoa(int(f))
}

// count is a number with commas.
func count(n any) string {
	text := fmt.Sprint(n)
	var parts []string
	for len(text) > 3 {
		parts = append([]string{text[len(text)-3:]}, parts...)
		text = text[:len(text)-3]
	}
	return strings.Join(append([]string{text}, parts...), ",")
}

// size is a number of bytes.
func size(n int64) string {
	f, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return digits(f) + " " + unit
}
