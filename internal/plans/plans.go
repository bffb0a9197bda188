// Package plans asks SQLite for the plans of statements, and judges them.
// See https://www.sqlite.org/eqp.html.
package plans

import (
	"context"
	"database/sql/driver"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/pool"
)

// Rule says what a line of a plan does that it should not, and what helps; "" if it
// does nothing of the kind. isTable tells whether what the plan calls so is a table.
type Rule func(line string, isTable func(name string) bool) (fault, remedy string)

// Finding is a line of a statement's plan that breaks a rule, or the error of a
// statement that has no plan.
type Finding struct {
	Name, Line, Fault, Remedy string
	Err                       error
}

// Find asks the rules of every statement's plan on the pool's database, as it is now.
// Parameters are NULL.
func Find(ctx context.Context, p *pool.Pool, statements []pool.Statement, rules ...Rule) (found []Finding, err error) {
	lease, err := p.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	s, err := readSchema(ctx, lease)
	if err != nil {
		return nil, err
	}
	err = lease.Raw(ctx, func(conn driver.Conn) error {
		for _, statement := range statements {
			plan, err := sqlite.Plan(conn, statement.SQL)
			if err != nil {
				found = append(found, Finding{Name: statement.Name, Err: err})
			}
			found = append(found, s.judge(statement, plan, rules)...)
		}
		return nil
	})
	return found, err
}

// judge asks the rules of one plan.
func (s schema) judge(statement pool.Statement, plan []string, rules []Rule) (found []Finding) {
	isTable := func(name string) bool { return s.isTable(name, statement.SQL, plan) }
	for _, line := range plan {
		for _, rule := range rules {
			if fault, remedy := rule(line, isTable); fault != "" {
				found = append(found, Finding{Name: statement.Name, Line: line, Fault: fault, Remedy: remedy})
			}
		}
	}
	return found
}

var (
	scanned   = regexp.MustCompile(`^SCAN (.+?)(?: EXISTS)?(?: USING .+?| VIRTUAL TABLE INDEX (.*?))?(?: LEFT-JOIN)?$`)
	automatic = regexp.MustCompile(`^SEARCH (.+?) USING AUTOMATIC .*INDEX`)
)

// Scan finds a table, or an index, that is read from one end to the other, and an
// index that the statement makes for itself.
func Scan(line string, isTable func(string) bool) (fault, remedy string) {
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

// Sort finds a temporary index by which a statement sorts, or finds what is distinct.
func Sort(line string, _ func(string) bool) (fault, remedy string) {
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
	s.tables = map[string]bool{"sqlite_schema": true, "sqlite_master": true}
	rows, err := q.Query(ctx, "SELECT type, lower(name), sql FROM sqlite_schema WHERE type IN ('table', 'view')")
	if err != nil {
		return s, err
	}
	defer rows.Close()
	for rows.Next() {
		var kind, name, text string
		if err := rows.Scan(&kind, &name, &text); err != nil {
			return s, err
		}
		if kind == "table" {
			s.tables[name] = true
		} else {
			s.views += text + ";"
		}
	}
	return s, rows.Err()
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
