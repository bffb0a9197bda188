package debug

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"sync"

	"github.com/sqlane/sqlane/pool"
)

// Pool is the page of one pool. Mount it at a path that ends in a slash, with or
// without http.StripPrefix.
func Pool(p *pool.Pool) http.Handler {
	return &handler{pools: func() []*pool.Pool { return []*pool.Pool{p} }, single: true}
}

// Registry is a list of the registry's pools that leads to a page for each. Mount it
// as Pool.
func Registry(r *pool.Registry) http.Handler {
	return &handler{pools: r.Pools, numbers: make(map[*pool.Pool]int)}
}

//go:embed page.html style.css script.js
var files embed.FS

// handler shows pools. It is safe for concurrent use.
type handler struct {
	pools  func() []*pool.Pool
	single bool

	mu      sync.Mutex         // It guards the fields below.
	numbers map[*pool.Pool]int // The pools are asked for by these.
	last    int                // The last pool that was met has this number.
}

var page = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"count": count, "bytes": size, "age": age, "short": short, "style": func() string { return linkTo("style.css") }, "script": func() string { return linkTo("script.js") },
}).ParseFS(files, "page.html"))

// linkTo names a file so that a browser asks for it again when it has changed.
func linkTo(name string) string {
	text, _ := files.ReadFile(name)
	sum := sha256.Sum256(text)
	return name + "?" + hex.EncodeToString(sum[:6])
}

// policy lets the page load nothing but what lies beside it.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	switch _, name := path.Split(r.URL.Path); name {
	case "":
		h.servePage(w, r)
	case "style.css", "script.js":
		header.Set("Cache-Control", "max-age=86400")
		http.ServeFileFS(w, r, files, name)
	default:
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
	if err := page.Execute(&text, v); err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // who does not listen misses it
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
