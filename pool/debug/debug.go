package debug

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"sync"

	"github.com/sqlane/sqlane/internal/page"
	"github.com/sqlane/sqlane/pool"
)

// Pool is the page of one pool. Mount it at a path that ends in a slash, with or
// without http.StripPrefix. A nil pool is shown as a closed one.
func Pool(p *pool.Pool) http.Handler {
	if p == nil {
		p = new(pool.Pool)
	}
	return &handler{pools: func() []*pool.Pool { return []*pool.Pool{p} }, single: true}
}

// Registry is a list of the registry's pools that leads to a page for each. Mount it
// as Pool. Without a registry the list is empty.
func Registry(r *pool.Registry) http.Handler {
	if r == nil {
		r = new(pool.Registry)
	}
	return &handler{pools: r.Pools, numbers: make(map[*pool.Pool]int)}
}

//go:embed page.html
var layout string

//go:embed style.css
var style string

//go:embed script.js
var script string

var files = page.New(style, script)

// handler shows pools. It is safe for concurrent use.
type handler struct {
	pools  func() []*pool.Pool
	single bool

	mu      sync.Mutex         // It guards the fields below.
	numbers map[*pool.Pool]int // The pools are asked for by these.
	last    int                // The last pool that was met has this number.
}

var pages = template.Must(template.New("page").Funcs(template.FuncMap{
	"count": count, "bytes": size, "age": age, "short": short, "style": files.Style, "script": files.Script,
}).Parse(layout))

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !page.Begin(w, r, "'none'") {
		return
	}
	switch _, name := path.Split(r.URL.Path); {
	case name == "":
		h.servePage(w, r)
	case !files.Serve(w, r, name):
		http.NotFound(w, r)
	}
}

func (h *handler) servePage(w http.ResponseWriter, r *http.Request) {
	status, v := http.StatusOK, view{}
	asked := r.URL.Query().Get("pool")
	switch p := h.find(asked); {
	case p != nil:
		v = viewOf(p, r.URL.Query(), !h.single)
	case asked == "" && !h.single:
		v = h.overview()
	default:
		status, v = http.StatusNotFound, view{Title: "No such pool", Missing: true}
	}
	v.Now = now()
	var text bytes.Buffer
	// Nothing that a pool tells makes this fail. If it did, half a page would look whole.
	if err := pages.Execute(&text, v); err != nil {
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	page.Send(w, status, text.Bytes())
}

// find is the pool that is asked for; nil if there is none.
func (h *handler) find(asked string) *pool.Pool {
	pools := h.pools()
	if h.single {
		return pools[0]
	}
	number, err := strconv.Atoi(asked)
	if err != nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range pools {
		if h.numbers[p] == number && number > 0 {
			return p
		}
	}
	return nil
}

// number gives each pool a number that stays its own, and forgets those that are gone.
func (h *handler) number(pools []*pool.Pool) map[*pool.Pool]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	numbers := make(map[*pool.Pool]int, len(pools))
	for _, p := range pools {
		n := h.numbers[p]
		if n == 0 {
			h.last++
			n = h.last
		}
		numbers[p] = n
	}
	h.numbers = numbers
	return numbers
}
