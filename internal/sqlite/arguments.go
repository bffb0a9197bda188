package sqlite

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ArgumentsError says that the arguments are not those that a statement asks
// for. Nothing has run.
type ArgumentsError string

func (e ArgumentsError) Error() string { return string(e) }

// param is a parameter of a statement
// (https://www.sqlite.org/lang_expr.html#varparam): ?NNN, also spelt $NNN, has a
// number, :name, @name and $name have a name. A plain ? has neither at first.
type param struct {
	ordinal int    // It takes the argument without a name at this place, from 1; 0 if it has a name.
	name    string // It has this name, without the prefix.
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

// Parameters is how many arguments SQLite has a statement take: the greatest number of a
// parameter, where one without a number has the one behind the greatest before it, and each
// name counts once.
func Parameters(sql string) (greatest int) {
	var names []string
	for _, q := range paramsIn(sql) {
		switch {
		case q.ordinal > 0:
			greatest = max(greatest, q.ordinal)
		case q.name == "" || !slices.Contains(names, q.name):
			greatest++
			names = append(names, q.name)
		}
	}
	return greatest
}

// parameters are all those of a statement, and what they ask for: so many
// arguments without a name, in order, and one of each name.
type parameters struct {
	list    []param  // They are in the order of SQLite's numbers.
	unnamed int      // So many arguments without a name are wanted,
	names   []string // and one of each of these names.
	mixed   bool     // Numbers beside names count the named arguments too, as database/sql does.
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

// arguments are a call's, sorted.
type arguments struct {
	all     []Argument
	unnamed []Argument       // They are those without a name, in order.
	named   map[string]Value // They are the others.
}

func sorted(all []Argument) arguments {
	a := arguments{all: all, unnamed: all}
	for i, arg := range all {
		switch {
		case arg.Name != "":
			if a.named == nil {
				a.named, a.unnamed = make(map[string]Value), slices.Clone(all[:i])
			}
			a.named[arg.Name] = arg.Value
		case a.named != nil:
			a.unnamed = append(a.unnamed, arg)
		}
	}
	return a
}

// plain reports what is nearly always so: as many arguments as are wanted, and no
// names anywhere. Then they need not be sorted.
func (p *parameters) plain(args []Argument) bool {
	if len(p.names) > 0 || len(args) != p.unnamed {
		return false
	}
	for i := range args {
		if args[i].Name != "" {
			return false
		}
	}
	return true
}

// check counts the arguments, in database/sql's words.
func (p *parameters) check(a arguments) error {
	detail, missing := "", false
	for _, name := range p.names {
		if _, given := a.named[name]; !given && !missing {
			detail, missing = fmt.Sprintf("missing named argument %q", name), true
		}
	}
	for _, arg := range a.all {
		if arg.Name != "" && !missing && !slices.Contains(p.names, arg.Name) {
			detail = fmt.Sprintf("no parameter is named %q", arg.Name)
		}
	}
	counts := func(of string, want, got int) error {
		text := fmt.Sprintf("sql: expected %d arguments%s, got %d", want, of, got)
		if detail != "" {
			text += ": " + detail
		}
		return ArgumentsError(text)
	}
	switch want := p.unnamed + len(p.names); {
	case len(a.all) != want:
		return counts("", want, len(a.all))
	case missing:
		return ArgumentsError(detail)
	case len(a.unnamed) != p.unnamed:
		return counts(" without a name", p.unnamed, len(a.unnamed))
	case p.mixed:
		for _, q := range p.list {
			if q.name == "" && (q.ordinal > len(a.all) || a.all[q.ordinal-1].Name != "") {
				return ArgumentsError(fmt.Sprintf("parameter ?%d takes no argument with a name: numbers beside names count all arguments", q.ordinal))
			}
		}
	}
	return nil
}

// Check counts the arguments of a run.
func (s *Stmt) Check(args []Argument) error {
	if s.plain(args) {
		return nil
	}
	return s.check(sorted(args))
}

// argument is what a parameter takes of arguments that were checked.
func (p *parameters) argument(q param, a arguments) Value {
	switch {
	case q.name != "":
		return a.named[q.name]
	case p.mixed:
		return a.all[q.ordinal-1].Value
	}
	return a.unnamed[q.ordinal-1].Value
}

// Share deals a script's arguments out to its statements, before any of them
// runs: it reads the texts, since a later one may be such that only an earlier
// one makes it compile. Each plain ? takes the next argument, across the script;
// numbers and names mean the same argument in each statement. Numbers do not go
// together with anything else: it would not be clear what they count.
func Share(parts []string, args []Argument) ([][]Argument, error) {
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
		return nil, ArgumentsError("a script has numbered parameters beside others: it is not clear what the numbers count")
	}
	whole.unnamed = numbered + plain
	given := sorted(args)
	if err := whole.check(given); err != nil {
		return nil, err
	}
	shares := make([][]Argument, len(parts))
	for i, params := range each {
		shares[i] = given.take(params)
	}
	return shares, nil
}

// take returns the arguments of one statement of a script. Those that it consumes
// are gone for the next one.
func (a *arguments) take(params []param) (taken []Argument) {
	plain, numbered := 0, 0
	var names []string
	for _, q := range params {
		switch {
		case q.ordinal > 0:
			numbered = max(numbered, q.ordinal)
		case q.name == "":
			plain++
		case !slices.Contains(names, q.name):
			names = append(names, q.name)
		}
	}
	taken = slices.Clone(a.unnamed[:plain+numbered])
	a.unnamed = a.unnamed[plain:]
	for _, name := range names {
		taken = append(taken, Argument{Name: name, Value: a.named[name]})
	}
	return taken
}
