package sqlaneotel

import (
	"context"
	"errors"
	"strconv"

	"github.com/sqlane/sqlane/dberr"
	"github.com/sqlane/sqlane/pool"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// sentinels are looked for in this order: an error may match several, and the first one
// says most. A lost transaction matches what it was lost by; what a pool says of waiting
// comes before the context that ended it.
var sentinels = []struct {
	err  error
	name string
}{
	{pool.ErrTxLost, "pool.ErrTxLost"},
	{pool.ErrConflict, "pool.ErrConflict"},
	{pool.ErrBusy, "pool.ErrBusy"},
	{pool.ErrAcquireTimeout, "pool.ErrAcquireTimeout"},
	{pool.ErrOverloaded, "pool.ErrOverloaded"},
	{pool.ErrDeadlock, "pool.ErrDeadlock"},
	{pool.ErrMoved, "pool.ErrMoved"},
	{pool.ErrUnhealthy, "pool.ErrUnhealthy"},
	{pool.ErrClosed, "pool.ErrClosed"},
	{pool.ErrReleased, "pool.ErrReleased"},
	{pool.ErrTxDone, "pool.ErrTxDone"},
	{pool.ErrTxControl, "pool.ErrTxControl"},
	{pool.ErrNestedLevel, "pool.ErrNestedLevel"},
	{pool.ErrReadOnly, "pool.ErrReadOnly"},
	{pool.ErrConfig, "pool.ErrConfig"},
	{context.Canceled, "context.Canceled"},
	{context.DeadlineExceeded, "context.DeadlineExceeded"},
}

// kinds are dberr's.
var kinds = map[error]string{
	dberr.ErrNotFound:   "dberr.ErrNotFound",
	dberr.ErrDuplicate:  "dberr.ErrDuplicate",
	dberr.ErrForeignKey: "dberr.ErrForeignKey",
	dberr.ErrCheck:      "dberr.ErrCheck",
	dberr.ErrNotNull:    "dberr.ErrNotNull",
}

// failureOf is what is told of an error: its type first, then SQLite's code if it has
// one. It is nil if there is none.
func failureOf(err error) []attribute.KeyValue {
	if err == nil {
		return nil
	}
	code, ok := pool.Code(err)
	if !ok {
		return []attribute.KeyValue{semconv.ErrorTypeKey.String(typeOf(err, semconv.ErrorTypeOther.Value.AsString()))}
	}
	number := strconv.Itoa(code)
	return []attribute.KeyValue{semconv.ErrorTypeKey.String(typeOf(err, number)), semconv.DBResponseStatusCode(number)}
}

func typeOf(err error, other string) string {
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.name
		}
	}
	if kind, ok := kinds[dberr.Kind(err)]; ok {
		return kind
	}
	return other
}
