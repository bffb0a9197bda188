package main

import (
	"context"
	"errors"
	"net/http"

	"example.org/tasks/store"
	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
)

// problem is an error as a client is told of it.
type problem struct {
	status int
	text   string
}

func (p problem) Error() string { return p.text }

var (
	errTitle     = problem{http.StatusUnprocessableEntity, "A task has 1 to 200 letters."}
	errKeyReused = problem{http.StatusUnprocessableEntity, "This was sent before, as another task. Load the page again."}
	errRequest   = problem{http.StatusBadRequest, "The request cannot be read."}
)

// problemOf turns every error into what a client may know. What is left over is the
// server's own fault, and stays in the log.
func problemOf(err error) problem {
	var p problem
	if errors.As(err, &p) {
		return p
	}
	// What concerns the data: the schema has the last word on what is valid.
	switch dberr.Kind(err) {
	case store.ErrNotFound:
		return problem{http.StatusNotFound, "There is no such task any more."}
	case store.ErrDuplicate:
		return problem{http.StatusConflict, "That is on the list already."}
	case store.ErrCheck, store.ErrNotNull:
		return problem{http.StatusUnprocessableEntity, "That is nothing for this list."}
	}
	// What concerns the moment: the same request may succeed a second later.
	for _, passing := range []error{
		pool.ErrOverloaded, pool.ErrAcquireTimeout, pool.ErrBusy, pool.ErrClosed,
		context.DeadlineExceeded, context.Canceled,
	} {
		if errors.Is(err, passing) {
			return problem{http.StatusServiceUnavailable, "The server is busy. Try again in a moment."}
		}
	}
	return problem{http.StatusInternalServerError, "The server has failed."}
}
