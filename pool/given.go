package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// given refuses to work without a pool, without a context or without the function that
// it is all about. What is exported asks it first.
func (p *Pool) given(op string, ctx context.Context, fn bool) error {
	if p.isOpen() && ctx != nil && fn {
		return nil
	}
	return p.missing(op, ctx)
}

func (p *Pool) missing(op string, ctx context.Context) error {
	switch {
	case p == nil:
		return &Error{Op: op, Err: fs.ErrInvalid, detail: "the *Pool is nil"}
	case p.conns == nil:
		return &Error{Op: op, Err: fs.ErrInvalid, detail: "the Pool was not made by Open"}
	case ctx == nil:
		return errNoContext(op, p.path)
	}
	return p.fail(op, fs.ErrInvalid, nil, "fn is nil")
}

func errNoContext(op, path string) error {
	return &Error{Op: op, Path: path, Err: fs.ErrInvalid, detail: "ctx is nil; context.Background() is one that never ends"}
}

func errNoRegistry(op string) error {
	return &Error{Op: op, Err: fs.ErrInvalid, detail: "the *Registry is nil"}
}

// isOpen reports that the pool was made by Open.
func (p *Pool) isOpen() bool { return p != nil && p.conns != nil }

// refuseNil refuses options that are nil.
func (p *Pool) refuseNil(op string, opts []TxOption) error {
	var errs []error
	for i, opt := range opts {
		if opt == nil {
			errs = append(errs, p.fail(op, fs.ErrInvalid, nil, fmt.Sprintf("opts[%d] is nil", i)))
		}
	}
	return errors.Join(errs...)
}
