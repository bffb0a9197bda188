package pool

import (
	"database/sql/driver"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// argumentsError says that the arguments are not those that a statement asks
// for. Nothing has run.
type argumentsError string

func (e argumentsError) Error() string { return string(e) }

// param is a parameter of a statement
// (https://www.sqlite.org/lang_expr.html#varparam): ?NNN, also spelt $NNN, has a
// number, :name, @name and $name have a name. A plain ? has neither at first.
type param struct {
	ordinal int    // of the argument without a name that it takes, from 1; 0: it has a name
	name    string // without its prefix
}

// paramOf reads a parameter as it is spelt.
func paramOf(spelt string) param {
	if spelt == "" || spelt == "?" {
		return param{}
	}
	name := spelt[1:]
	if n, err := strconv.Atoi(name); err == nil && n > 0 && strings.ContainsRune("?$", rune(spelt[0])) && strconv.Itoa(n) == name {
		return param{ordinal: n}
	}
	return param{name: name}
}

// paramsIn finds the parameters of a statement in its text.
func paramsIn(sql string) (params []param) {
	if !strings.ContainsAny(sql, "?:@$") {
		return nil
	}
	for i := 0; i < len(sql); {
		kind, next := token(sql, i)
		if kind == otherToken {
			switch sql[i] {
			case '?':
				for next < len(sql) && '0' <= sql[next] && sql[next] <= '9' {
					next++
				}
				params = append(params, paramOf(sql[i:next]))
			case ':', '@', '$':
				if next > i+1 {
					params = append(params, paramOf(sql[i:next]))
				}
			}
		}
		i = next
	}
	return params
}

// parameters are all those of a statement, and what they ask for: so many
// arguments without a name, in order, and one of each name.
type parameters struct {
	list    []param // by SQLite's number
	unnamed int
	names   []string
	mixed   bool // there are numbers beside names: they count the named arguments too, as database/sql does
}

// newParameters takes what SQLite says. Where there are numbers, a parameter
// without a spelling may be one that they have skipped.
func newParameters(list []param) parameters {
	p := parameters{list: list}
	numbers, plain := false, 0
	for _, q := range list {
		numbers = numbers || q.ordinal > 0
		if q.name != "" && !slices.Contains(p.names, q.name) {
			p.names = append(p.names, q.name)
		}
	}
	p.mixed = numbers && len(p.names) > 0
	var ordinals []int
	for i := range list {
		q := &list[i]
		if q.name != "" {
			continue
		}
		if q.ordinal == 0 {
			if plain++; numbers {
				q.ordinal = i + 1
			} else {
				q.ordinal = plain
			}
		}
		if p.mixed && !slices.Contains(ordinals, q.ordinal) {
			ordinals = append(ordinals, q.ordinal)
		}
		p.unnamed = max(p.unnamed, q.ordinal)
	}
	if p.mixed {
		p.unnamed = len(ordinals)
	}
	return p
}

// check counts the arguments, in database/sql's words.
func (p *parameters) check(args []driver.NamedValue) error {
	unnamed, stranger := 0, ""
	for _, a := range args {
		switch {
		case a.Name == "":
			unnamed++
		case stranger == "" && !slices.Contains(p.names, a.Name):
			stranger = a.Name
		}
	}
	missing := ""
	for _, name := range p.names {
		if missing == "" && !slices.ContainsFunc(args, func(a driver.NamedValue) bool { return a.Name == name }) {
			missing = fmt.Sprintf("missing named argument %q", name)
		}
	}
	detail := missing
	if stranger != "" {
		detail = fmt.Sprintf("no parameter is named %q", stranger)
	}
	if detail != "" {
		detail = ": " + detail
	}
	switch want := p.unnamed + len(p.names); {
	case len(args) != want:
		return argumentsError(fmt.Sprintf("sql: expected %d arguments, got %d%s", want, len(args), detail))
	case missing != "":
		return argumentsError(missing)
	case unnamed != p.unnamed:
		return argumentsError(fmt.Sprintf("sql: expected %d arguments without a name, got %d%s", p.unnamed, unnamed, detail))
	case !p.mixed:
		return nil
	}
	for _, q := range p.list {
		if q.name == "" && (q.ordinal > len(args) || args[q.ordinal-1].Name != "") {
			return argumentsError(fmt.Sprintf("parameter %d has no name, and argument %d is none without one: numbers count all arguments", q.ordinal, q.ordinal))
		}
	}
	return nil
}

// argument is what a parameter takes. The arguments were checked.
func (p *parameters) argument(q param, args []driver.NamedValue) any {
	if q.name == "" && (p.mixed || len(p.names) == 0) {
		return args[q.ordinal-1].Value
	}
	nth := 0
	for _, a := range args {
		if a.Name == "" {
			nth++
		}
		if a.Name == q.name && (a.Name != "" || nth == q.ordinal) {
			return a.Value
		}
	}
	return nil
}

// share deals a script's arguments out to its statements, before any of them
// runs: it reads the texts, since a later one may be such that only an earlier
// one makes it compile. Each plain ? takes the next argument, across the script;
// numbers and names mean the same argument in each statement. Numbers do not go
// together with anything else: it would not be clear what they count.
func share(parts []string, args []driver.NamedValue) ([][]driver.NamedValue, error) {
	var whole parameters
	numbered, plain := 0, 0
	each := make([][]param, len(parts))
	for i, part := range parts {
		each[i] = paramsIn(part)
		for _, q := range each[i] {
			switch {
			case q.ordinal > 0:
				numbered = max(numbered, q.ordinal)
			case q.name == "":
				plain++
			case !slices.Contains(whole.names, q.name):
				whole.names = append(whole.names, q.name)
			}
		}
	}
	if numbered > 0 && plain+len(whole.names) > 0 {
		return nil, argumentsError("a script has numbered parameters beside others: it is not clear what the numbers count")
	}
	whole.unnamed = numbered + plain
	if err := whole.check(args); err != nil {
		return nil, err
	}
	var unnamed []driver.NamedValue
	for _, a := range args {
		if a.Name == "" {
			unnamed = append(unnamed, a)
		}
	}
	shares := make([][]driver.NamedValue, len(parts))
	for i, params := range each {
		shares[i], unnamed = take(params, args, unnamed)
	}
	return shares, nil
}

// take returns the arguments of one statement of a script, and those without a
// name that are left for the next one.
func take(params []param, args, unnamed []driver.NamedValue) (taken, left []driver.NamedValue) {
	plain, numbered := 0, 0
	for _, q := range params {
		if numbered = max(numbered, q.ordinal); q == (param{}) {
			plain++
		}
	}
	taken = slices.Clone(unnamed[:plain+numbered])
	for _, a := range args {
		if a.Name != "" && slices.ContainsFunc(params, func(q param) bool { return q.name == a.Name }) {
			taken = append(taken, a)
		}
	}
	return taken, unnamed[plain:]
}

// written returns the arguments with every time as it is written.
func (f TimeFormat) written(args []driver.NamedValue) ([]driver.NamedValue, error) {
	own := false
	for i := range args {
		t, ok := args[i].Value.(time.Time)
		if !ok {
			continue
		}
		if !own {
			args, own = slices.Clone(args), true
		}
		var err error
		if args[i].Value, err = f.write(t); err != nil {
			return nil, argumentsError(fmt.Sprintf("argument %d: %v", i+1, err))
		}
	}
	return args, nil
}
