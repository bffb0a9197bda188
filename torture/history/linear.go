package history

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// CheckLinear looks for a serial order by search, with whole transactions as the
// operations of porcupine's theory: strict serializability of transactions is
// linearizability of one object that holds everything. It suits registers, whose
// reads do not tell the order of the writes. ctx bounds the search, whose length
// is exponential in the number of transactions at once; its error means that
// nothing is known.
func (h *History) CheckLinear(ctx context.Context) ([]Anomaly, error) {
	nets, _, found := h.resolveAll()
	if len(found) > 0 {
		return found, nil
	}
	var ops []porcupine.Operation
	for i, n := range nets {
		if !h.Txns[i].Committed {
			n.wrote = nil
		}
		if h.Txns[i].witness() && len(n.found)+len(n.wrote) > 0 {
			ops = append(ops, porcupine.Operation{Input: n, Call: h.Txns[i].Start, Return: h.Txns[i].End})
		}
	}
	patience := time.Minute
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline))
	}
	switch porcupine.CheckOperationsTimeout(h.model(), ops, max(patience, time.Nanosecond)) {
	case porcupine.Illegal:
		return []Anomaly{anomaly(Unexplained, "no order of these %d transactions explains them", len(ops))}, nil
	case porcupine.Unknown:
		return nil, errUndecided
	}
	return nil, nil
}

var errUndecided = errors.New("the search for a serial order took too long")

// model is a database: what each key holds.
func (h *History) model() porcupine.Model {
	type state = map[int][]int
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(from, input, _ any) (bool, any) {
			s, n := from.(state), input.(net)
			for key, version := range n.found {
				if !slices.Equal(s[key], version) {
					return false, s
				}
			}
			if len(n.wrote) == 0 {
				return true, s
			}
			s = maps.Clone(s)
			for key, values := range n.wrote {
				if h.Registers {
					s[key] = values[len(values)-1:]
				} else {
					s[key] = slices.Concat(s[key], values)
				}
			}
			return true, s
		},
		Equal: func(a, b any) bool { return maps.EqualFunc(a.(state), b.(state), slices.Equal[[]int]) },
	}
}
