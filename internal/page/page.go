// Package page is what the pages of this project have in common: a style, a script that
// changes a page into a newer one of itself, and headers that let a page load nothing
// else.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"time"
)

//go:embed base.css
var base string

//go:embed morph.js
var morph string

// Files are the style sheet and the script of a page, style.css and script.js.
type Files struct{ style, script file }

type file struct {
	text []byte
	mark string // It changes with the text.
}

// New returns the files of a page with a style and a script of its own, which come
// after the common ones.
func New(style, script string) *Files { return &Files{newFile(base + style), newFile(morph + script)} }

func newFile(text string) file {
	sum := sha256.Sum256([]byte(text))
	return file{[]byte(text), hex.EncodeToString(sum[:6])}
}

// Style and Script are the files' addresses beside the page: a browser asks again
// when they have changed.
func (f *Files) Style() string  { return "style.css?" + f.style.mark }
func (f *Files) Script() string { return "script.js?" + f.script.mark }

// Serve serves a file, and reports false if there is none of that name.
func (f *Files) Serve(w http.ResponseWriter, r *http.Request, name string) bool {
	var of file
	switch name {
	case "style.css":
		of = f.style
	case "script.js":
		of = f.script
	default:
		return false
	}
	w.Header().Set("Cache-Control", "max-age=86400")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(of.text))
	return true
}

// Begin sets the headers that every answer has, and refuses what is neither GET nor
// HEAD. It reports whether there is an answer to be made. forms is the policy's
// form-action.
func Begin(w http.ResponseWriter, r *http.Request, forms string) bool {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action "+forms+"; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	h.Set("Allow", "GET, HEAD")
	http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
	return false
}

// Send sends a page, which nobody keeps.
func Send(w http.ResponseWriter, status int, html []byte) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(html) // who does not listen misses it
}
