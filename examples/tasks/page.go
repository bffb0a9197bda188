package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"strings"

	"example.org/tasks/gen"
	"example.org/tasks/store"
)

//go:embed page.html
var pageHTML string

// The template "page" is all of it; "list" is the part that is live.
var templates = template.Must(template.New("page").Parse(pageHTML))

// content is the list as HTML, with a name that only this content has: two servers, or
// one before and after its restart, give the same name to the same list.
type content struct {
	HTML template.HTML
	Name string
}

// show renders the list.
func show(ctx context.Context, q store.Reader) (c content, err error) {
	l, err := read(ctx, q)
	if err != nil {
		return c, err
	}
	var html bytes.Buffer
	if err := templates.ExecuteTemplate(&html, "list", l); err != nil {
		return c, err
	}
	sum := sha256.Sum256(html.Bytes())
	return content{template.HTML(html.String()), hex.EncodeToString(sum[:8])}, nil
}

// page makes a handler of an action: what fails is told in the page, beside what was
// typed, or, to a script that asks for no HTML, in one line.
func (s *server) page(do action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := s.perform(do, w, r)
		if p == nil {
			return
		}
		again := func(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
			return s.writePage(ctx, w, *p, r.PostFormValue("title"))
		}
		if !strings.Contains(r.Header.Get("Accept"), "text/html") || s.perform(again, w, r) != nil {
			http.Error(w, p.text, p.status)
		}
	}
}

func (s *server) showPage(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
	return s.writePage(ctx, w, problem{status: http.StatusOK}, "")
}

// writePage shows the page with a form that was not sent before: its key is new.
func (s *server) writePage(ctx context.Context, w http.ResponseWriter, p problem, title string) error {
	var now content
	err := s.tasks.View(ctx, func(ctx context.Context, q store.Reader) (err error) {
		now, err = show(ctx, q)
		return err
	})
	if err != nil {
		return err
	}
	var html bytes.Buffer
	if err := templates.Execute(&html, map[string]any{
		"List": now, "Problem": p.text, "Title": title, "Key": rand.Text(),
	}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'self'")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.status)
	_, _ = w.Write(html.Bytes()) // a client that has gone needs no answer
	return nil
}

func (s *server) postTask(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	if _, err := add(ctx, s.tasks, r.PostFormValue("key"), r.PostFormValue("title")); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// postChange does to a task what its button says. All of it may be done twice.
func (s *server) postChange(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	id, err := taskID(r)
	if err != nil {
		return err
	}
	switch r.PostFormValue("do") {
	case "finish", "reopen":
		_, err = s.tasks.SetDone(ctx, gen.SetDoneParams{ID: id, Done: r.PostFormValue("do") == "finish"})
	case "delete":
		_, err = s.tasks.DeleteTask(ctx, id)
	default:
		err = errRequest
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
