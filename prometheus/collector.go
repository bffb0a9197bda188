package sqlaneprom

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sqlane/sqlane/pool"
)

// Source has the pools: a *pool.Registry, or [Pools].
type Source interface{ Pools() []*pool.Pool }

// Pools are a Source of their own.
type Pools []*pool.Pool

// Pools implements Source.
func (p Pools) Pools() []*pool.Pool { return p }

// Collector tells Prometheus of pools. It is safe for concurrent use.
type Collector struct{ source Source }

var _ prometheus.Collector = (*Collector)(nil)

// New returns a collector of the pools that the source has whenever it is scraped. Of
// pools with one name, which those of a Registry never have, the first is told of.
// Register one collector for each source, and no two with a pool in common. Without a
// source there are no pools.
func New(source Source) *Collector { return &Collector{source} }

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range metrics {
		to <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	if c == nil || c.source == nil {
		return
	}
	told := map[string]bool{}
	for _, p := range c.source.Pools() {
		name := p.Name()
		if told[name] {
			continue
		}
		told[name] = true
		s := p.Stats()
		for _, m := range metrics {
			for _, v := range m.read(s) {
				labels := []string{name}
				if v.label != "" {
					labels = append(labels, v.label)
				}
				to <- prometheus.MustNewConstMetric(m.desc, m.kind, v.value, labels...)
			}
		}
	}
}
