package sqlaneotel

import (
	"sync"
	"sync/atomic"

	"github.com/sqlane/sqlane/pool"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// description is what spans and metrics tell of an operation whenever it comes.
type description struct {
	name   string
	span   []attribute.KeyValue
	metric attribute.Set
}

// descriptions are made once, but for texts that a program makes anew all the time: what
// comes when there are many is described each time.
type descriptions struct {
	made  sync.Map // *description by operation
	count atomic.Int64
}

// maxDescriptions is how many are kept.
const maxDescriptions = 2000

// operation is what a description depends on.
type operation struct {
	name, pool, sql string
	level           pool.Level
}

func (t *Tracer) describe(op pool.TraceOp) *description {
	key := operation{name: op.Name, pool: op.Pool, sql: op.SQL, level: op.Level}
	if d, ok := t.known.made.Load(key); ok {
		return d.(*description)
	}
	d := t.description(op)
	if t.known.count.Load() < maxDescriptions {
		if _, there := t.known.made.LoadOrStore(key, d); !there {
			t.known.count.Add(1)
		}
	}
	return d
}

func (t *Tracer) description(op pool.TraceOp) *description {
	d := &description{name: op.Name}
	common := []attribute.KeyValue{semconv.DBSystemNameSQLite, semconv.DBNamespace(op.Pool)}
	switch op.Name {
	case "acquire":
		d.metric = attribute.NewSet(poolName(op.Pool))
		d.span = append(common, poolName(op.Pool))
		return d
	case "query":
		s := statementOf(op.SQL)
		if op.Query != "" {
			s.summary = op.Query
		}
		if d.name = s.summary; d.name == "" {
			d.name = "query"
		}
		common = s.attributes(common)
	case "commit":
		common = append(common, semconv.DBOperationName("COMMIT"))
	case "transaction":
		d.name += " " + op.Level.String()
		common = append(common, attribute.String("sqlane.transaction.level", op.Level.String()))
	}
	d.metric = attribute.NewSet(common...)
	d.span = common
	if op.Name == "query" && !t.omitsText {
		d.span = append(d.span[:len(d.span):len(d.span)], semconv.DBQueryText(withoutLiterals(op.SQL)))
	}
	return d
}

func (s statement) attributes(attrs []attribute.KeyValue) []attribute.KeyValue {
	if s.verb != "" {
		attrs = append(attrs, semconv.DBOperationName(s.verb))
	}
	if s.summary != "" {
		attrs = append(attrs, semconv.DBQuerySummary(s.summary))
	}
	if s.table != "" {
		attrs = append(attrs, semconv.DBCollectionName(s.table))
	}
	return attrs
}
