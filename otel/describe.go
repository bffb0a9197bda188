package sqlaneotel

import (
	"sync"

	"github.com/sqlane/sqlane/pool"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// description is what spans and metrics tell of an operation whenever it comes.
type description struct {
	name     string
	start    []trace.SpanStartOption
	measure  metric.Float64Histogram // of how long it took; nil if there is none
	failures bool                    // which counts failures too
	metric   []metric.RecordOption
}

// descriptions are made once, but for texts that a program makes anew all the time: what
// comes when there are many is described each time.
type descriptions struct {
	mu   sync.RWMutex // guards made
	made map[operation]*description
}

func (k *descriptions) find(o operation) *description {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.made[o]
}

func (k *descriptions) keep(o operation, d *description) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.made == nil {
		k.made = make(map[operation]*description)
	}
	if len(k.made) < maxDescriptions && len(o.sql) <= maxKeptText {
		k.made[o] = d
	}
}

const (
	maxDescriptions = 2000      // so many are kept,
	maxKeptText     = 16 * 1024 // of texts up to this length
)

// operation is what a description depends on.
type operation struct {
	name, pool, sql string
	level           pool.Level
}

func (t *Tracer) describe(op pool.TraceOp) *description {
	key := operation{name: op.Name, pool: op.Pool, sql: op.SQL, level: op.Level}
	d := t.known.find(key)
	if d == nil {
		d = t.description(op)
		t.known.keep(key, d)
	}
	return d
}

func (t *Tracer) description(op pool.TraceOp) *description {
	d := &description{name: op.Name}
	var onSpan []attribute.KeyValue // besides what they have in common
	common := []attribute.KeyValue{semconv.DBSystemNameSQLite, semconv.DBNamespace(op.Pool)}
	switch op.Name {
	case "acquire":
		d.measure = t.wait.Inst()
		d.metric = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(poolName(op.Pool)))}
		d.start = []trace.SpanStartOption{trace.WithAttributes(append(common, poolName(op.Pool))...)}
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
		if !t.omitsText {
			onSpan = []attribute.KeyValue{semconv.DBQueryText(withoutLiterals(op.SQL))}
		}
	case "commit":
		common = append(common, semconv.DBOperationName("COMMIT"))
	case "transaction":
		d.name += " " + op.Level.String()
		common = append(common, attribute.String("sqlane.transaction.level", op.Level.String()))
	}
	if op.Name == "query" || op.Name == "commit" {
		d.measure, d.failures = t.duration.Inst(), true
		d.metric = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(common...))}
	}
	d.start = []trace.SpanStartOption{trace.WithAttributes(common...), trace.WithAttributes(onSpan...)}
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
