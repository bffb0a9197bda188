package pooltest

import (
	"slices"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/plans"
	"github.com/sqlane/sqlane/pool"
)

// Rule is what Plans asks of plans, or of one of them not.
type Rule struct {
	judge  plans.Rule
	waived string // This statement may break the rules, if there is no judge.
	reason string
}

// NoScan lets no statement read a table, or an index, from one end to the other, nor
// make an index for itself, which takes reading all of the table. A scan that ends
// early, because of a LIMIT, is a scan in the plan: [Waive] it. What is done to the
// rows of a subquery, a view that is one, a common table expression or a table-valued
// function is none, nor is what a virtual table does that is given something to look
// for.
var NoScan = Rule{judge: plans.Scan}

// NoTempBTree lets no statement sort, or find what is distinct, by a temporary
// index, which takes all rows before the first comes out.
var NoTempBTree = Rule{judge: plans.Sort}

// Waive lets the named statement break the rules, for a reason that whoever reads the
// test will want to know. The command sqlane check reads tests for it, and lets the
// statement break them too.
func Waive(name, reason string) Rule { return Rule{waived: name, reason: reason} }

// Plans has SQLite explain every statement on the pool's database, as it is now, and
// fails the test for each line of a plan that breaks a rule, with the statement, the
// line and a remedy. Parameters are NULL. So it does for a statement that cannot be
// prepared, for a Waive that names no statement or gives no reason, for one whose
// statement breaks no rule any more, and if there are no statements to look at. See
// https://www.sqlite.org/eqp.html.
//
// A generated repository's Statements are what it is given.
func Plans(t testing.TB, p *pool.Pool, statements []pool.Statement, rules ...Rule) {
	t.Helper()
	if p == nil {
		t.Fatalf("pooltest: Plans: the pool is nil")
	}
	judges := make([]plans.Rule, 0, len(rules))
	for _, r := range rules {
		if r.judge != nil {
			judges = append(judges, r.judge)
		}
	}
	found, err := plans.Find(t.Context(), p, statements, judges...)
	if err != nil {
		t.Fatalf("pooltest: Plans: %v", err)
	}
	if len(statements) == 0 {
		t.Errorf("pooltest: Plans: there are no statements to look at; pass the repository's Statements()")
	}
	waived := make(map[string]bool)
	for _, r := range rules {
		if r.judge != nil {
			continue
		}
		waived[r.waived] = true
		switch {
		case r.waived == "":
			t.Errorf("pooltest: Waive(%q, %q) names no statement: the name is empty", r.waived, r.reason)
		case strings.TrimSpace(r.reason) == "":
			t.Errorf("pooltest: Waive(%q, %q) gives no reason; say why %s may break the rules", r.waived, r.reason, r.waived)
		case !slices.ContainsFunc(statements, func(s pool.Statement) bool { return s.Name == r.waived }):
			t.Errorf("pooltest: Waive(%q, %q) names no statement; take it away", r.waived, r.reason)
		case !slices.ContainsFunc(found, func(f plans.Finding) bool { return f.Err == nil && f.Name == r.waived }):
			t.Errorf("pooltest: Waive(%q, %q) is not needed: %s breaks no rule; take it away", r.waived, r.reason, r.waived)
		}
	}
	for _, f := range found {
		switch {
		case f.Err != nil:
			t.Errorf("pooltest: %s has no plan: %v", f.Name, f.Err)
		case !waived[f.Name]:
			t.Errorf("pooltest: %s %s: its plan says %q; %s, or pooltest.Waive(%q, why)", f.Name, f.Fault, f.Line, f.Remedy, f.Name)
		}
	}
}
