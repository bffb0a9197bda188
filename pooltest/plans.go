package pooltest

import (
	"context"
	"database/sql/driver"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/pool"
)

// Rule is what Plans asks of plans, or of one of them not.
type Rule struct {
	judge  func(line string, isTable func(name string) bool) (fault, remedy string)
	waived string // This statement may break the rules, if there is no judge.
	reason string
}

// NoScan lets no statement read a table, or an index, from one end to the other, nor
// make an index for itself, which takes reading all of the table. A scan that ends
// early, because of a LIMIT, is a scan in the plan: [Waive] it. What is done to the
// rows of a subquery, a view that is one, a common table expression or a table-valued
// function is none, nor is what a virtual table does that is given something to look
// for.
var NoScan = Rule{judge: scan}

// NoTempBTree lets no statement sort, or find what is distinct, by a temporary
// index, which takes all rows before the first comes out.
var NoTempBTree = Rule{judge: sorts}

// Waive lets the named statement break the rules, for a reason that whoever reads the
// test will want to know.
func Waive(name, reason string) Rule { return Rule{waived: name, reason: reason} }

// Plans has SQLite explain every statement on the pool's database, as it is now, and
// fails the test for each line of a plan that breaks a rule, with the statement, the
// line and a remedy. Parameters are NULL. So it does for a statement that cannot be
// prepared, for a Waive that names no statement, and for one whose statement breaks no
// rule any more. See https://www.sqlite.org/eqp.html.
//
// A generated repository's Statements are what it is given.
func Plans(t testing.TB, p *pool.Pool, statements []pool.Statement, rules ...Rule) {
	t.Helper()
	ctx := t.Context()
	lease, err := p.Acquire(ctx)
	if err != nil {
		t.Fatalf("pooltest: Plans: %v", err)
	}
	defer lease.Release()
	schema, err := readSchema(ctx, lease)
	if err != nil {
		t.Fatalf("pooltest: Plans: %v", err)
	}
	var found []finding
	err = lease.Raw(ctx, func(conn driver.Conn) error {
		for _, statement := range statements {
			plan, err := sqlite.Plan(conn, statement.SQL)
			if err != nil {
				t.Errorf("pooltest: %s has no plan: %v", statement.Name, err)
			}
			found = append(found, schema.judge(statement, plan, rules)...)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("pooltest: Plans: %v", err)
	}
	waived := make(map[string]bool)
	for _, r := range rules {
		if r.judge != nil {
			continue
		}
		waived[r.waived] = true
		switch {
		case !slices.ContainsFunc(statements, func(s pool.Statement) bool { return s.Name == r.waived }):
			t.Errorf("pooltest: Waive(%q, %q) names no statement; take it away", r.waived, r.reason)
		case !slices.ContainsFunc(found, func(f finding) bool { return f.name == r.waived }):
			t.Errorf("pooltest: Waive(%q, %q) is not needed: %s breaks no rule; take it away", r.waived, r.reason, r.waived)
		}
	}
	for _, f := range found {
		if !waived[f.name] {
			t.Errorf("pooltest: %s %s: its plan says %q; %s, or pooltest.Waive(%q, why)", f.name, f.fault, f.line, f.remedy, f.name)
		}
	}
}

// finding is a line of a plan that breaks a rule.
type finding struct{ name, line, fault, remedy string }

// judge asks the rules of a statement's plan.
func (s schema) judge(statement pool.Statement, plan []string, rules []Rule) (found []finding) {
	isTable := func(name string) bool { return s.isTable(name, statement.SQL, plan) }
	for _, line := range plan {
		for _, r := range rules {
			if r.judge == nil {
				continue
			}
			if fault, remedy := r.judge(line, isTable); fault != "" {
				found = append(found, finding{statement.Name, line, fault, remedy})
			}
		}
	}
	return found
}

var (
	scanned   = regexp.MustCompile(`^SCAN (.+?)(?: EXISTS)?(?: USING .+?| VIRTUAL TABLE INDEX (.*?))?(?: LEFT-JOIN)?$`)
	automatic = regexp.MustCompile(`^SEARCH (.+?) USING AUTOMATIC .*INDEX`)
)

func scan(line string, isTable func(string) bool) (fault, remedy string) {
	if found := automatic.FindStringSubmatch(line); found != nil && isTable(found[1]) {
		return "makes an index of " + found[1] + " each time that it runs", "make one for good, on the columns that the line names"
	}
	found := scanned.FindStringSubmatch(line)
	if found == nil || !isTable(found[1]) || found[2] != "" && found[2] != "0:" {
		return "", ""
	}
	if found[2] != "" {
		return "reads all of " + found[1], "give the virtual table something to look for"
	}
	return "reads all of " + found[1], "make an index on the columns by which it chooses rows"
}

func sorts(line string, _ func(string) bool) (fault, remedy string) {
	if !strings.Contains(line, "USE TEMP B-TREE") && !strings.Contains(line, "USING TEMP B-TREE") {
		return "", ""
	}
	return "sorts by a temporary index", "make an index that has the rows in this order, behind the columns that are compared with ="
}

// schema is what plans refer to.
type schema struct {
	tables map[string]bool // by their names in lower case
	views  string          // their texts
}

func readSchema(ctx context.Context, q pool.Querier) (s schema, err error) {
	names, err := lines(ctx, q, "SELECT lower(name) FROM sqlite_schema WHERE type = 'table'")
	if err != nil {
		return s, err
	}
	s.tables = map[string]bool{"sqlite_schema": true, "sqlite_master": true}
	for _, name := range names {
		s.tables[name] = true
	}
	views, err := lines(ctx, q, "SELECT sql FROM sqlite_schema WHERE type = 'view'")
	s.views = strings.Join(views, ";")
	return s, err
}

// aliased finds what has an alias. Its first group is a name, or the end of a subquery.
const aliased = `(?i)([\w$.]+|"[^"]+"|\[[^]]+\]|\))\s+(?:AS\s+)?["\[]?`

// common finds a common table expression, once its name is put in.
const common = `(?i)(?:\bWITH|\bRECURSIVE|,)\s+["\[]?%s["\]]?\s*(?:\([^()]*\)\s*)?AS\s+(?:(?:NOT\s+)?MATERIALIZED\s*)?\(`

// isTable reports that what a statement's plan calls so is a table of the database, or
// an alias of one: no subquery, no common table expression and no function. The plan
// gives an alias without saying of what.
func (s schema) isTable(name, text string, plan []string) bool {
	if slices.Contains(plan, "CO-ROUTINE "+name) || slices.Contains(plan, "MATERIALIZE "+name) {
		return false
	}
	text += ";" + s.views
	is := func(name string) bool {
		name = strings.TrimPrefix(strings.ToLower(strings.Trim(name, `"[]`)), "main.")
		return s.tables[name] && !regexp.MustCompile(fmt.Sprintf(common, regexp.QuoteMeta(name))).MatchString(text)
	}
	if is(name) {
		return true
	}
	for _, found := range regexp.MustCompile(aliased+regexp.QuoteMeta(name)+`\b`).FindAllStringSubmatch(text, -1) {
		if is(found[1]) {
			return true
		}
	}
	return false
}
