package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"

	"example.org/tasks/gen"
	"example.org/tasks/store"
)

// api makes a handler of an action: what fails is told as {"error": "..."}.
func (s *server) api(do action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if p := s.perform(do, w, r); p != nil {
			_ = answer(w, p.status, map[string]string{"error": p.text})
		}
	}
}

// answer sends a value as JSON.
func answer(w http.ResponseWriter, status int, value any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // a client that has gone needs no answer
	return nil
}

func (s *server) getTasks(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
	var l list
	err := s.tasks.View(ctx, func(ctx context.Context, q store.Reader) (err error) {
		l, err = read(ctx, q)
		return err
	})
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, l)
}

func (s *server) createTask(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	var body struct{ Title string }
	if json.NewDecoder(r.Body).Decode(&body) != nil {
		return errRequest
	}
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		key = rand.Text() // nobody can send that again
	}
	task, err := add(ctx, s.tasks, key, body.Title)
	if err != nil {
		return err
	}
	return answer(w, http.StatusCreated, task)
}

func (s *server) changeTask(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	id, err := taskID(r)
	if err != nil {
		return err
	}
	var body struct{ Done *bool }
	if json.NewDecoder(r.Body).Decode(&body) != nil || body.Done == nil {
		return errRequest
	}
	task, err := s.tasks.SetDone(ctx, gen.SetDoneParams{ID: id, Done: *body.Done})
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, task)
}

func (s *server) deleteTask(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	id, err := taskID(r)
	if err != nil {
		return err
	}
	if _, err := s.tasks.DeleteTask(ctx, id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
