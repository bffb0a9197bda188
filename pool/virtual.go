package pool

import (
	"context"
	"regexp"
	"strings"
	"sync"

	"github.com/sqlane/sqlane/internal/sqlite"
	"github.com/sqlane/sqlane/internal/watch"
)

// virtualTables are those of the schema. The authorizer gives them by their names, and
// is not asked again about statements of their own that were prepared before.
type virtualTables struct {
	mu    sync.Mutex   // It guards the fields below.
	known *virtualOnes // They were read; nil if they were not,
	at    uint64       // when this was the last commit.
}

// virtualOnes are the virtual tables at one moment.
type virtualOnes struct {
	open  map[string]bool // What these read is not known, since it is not only their own.
	owned []string        // The tables whose names begin with one of these and _ are its own.
}

// forget has them read again.
func (v *virtualTables) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known = nil
}

// since returns them if they were read when the commit of that number was known of;
// nil if they are to be read.
func (v *virtualTables) since(number uint64) *virtualOnes {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.at < number {
		return nil
	}
	return v.known
}

func (v *virtualTables) keep(known *virtualOnes, at uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known, v.at = known, at
}

// SQLite's own modules read their own tables alone, but for those with content
// elsewhere (https://www.sqlite.org/fts5.html#external_content_tables).
var (
	ownTables   = regexp.MustCompile(`(?is)\busing\s+(fts[345]|rtree|rtree_i32|geopoly)\b`)
	otherTables = regexp.MustCompile(`(?is)\bcontent\s*=`)
)

// addVirtual completes what a run has read that began after the commit of that number.
// Several runs may read the virtual tables at the same time. If one waited for the
// other, with its snapshot open, a writer who waits for that in turn could keep the
// other one from reading.
func (p *Pool) addVirtual(ctx context.Context, tx *Tx, from uint64, read *watch.Region) {
	all := &p.watches.virtual
	v := all.since(p.watches.hub.Everybody())
	if v == nil {
		v = new(virtualOnes)
		if err := v.read(ctx, tx); err != nil {
			read.All = true // another time
			return
		}
		all.keep(v, from)
	}
	for _, table := range read.Tables {
		read.All = read.All || v.open[table]
		for _, owner := range v.owned {
			if strings.HasPrefix(table, owner+"_") {
				read.Add(owner)
			}
		}
	}
}

// read reads the virtual tables of every database, and the modules that can be read
// without a table of theirs.
func (v *virtualOnes) read(ctx context.Context, tx *Tx) error {
	v.open = make(map[string]bool)
	each := func(query string, found func(name, sql string)) error {
		rows, err := tx.Query(ctx, query)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name, sql string
			if err := rows.Scan(&name, &sql); err != nil {
				return err
			}
			found(sqlite.Fold(name), sql)
		}
		return rows.Err()
	}
	err := each("SELECT name, '' FROM pragma_module_list", func(name, _ string) {
		if name != "json_each" && name != "json_tree" && !strings.HasPrefix(name, "pragma_") {
			v.open[name] = true
		}
	})
	schemas := []string{"main"}
	c := tx.conn
	c.mu.Lock()
	for _, a := range c.guard.attached.databases {
		schemas = append(schemas, a.schema)
	}
	c.mu.Unlock()
	for _, schema := range schemas {
		if err == nil {
			err = each("SELECT name, sql FROM "+quoted(schema)+".sqlite_schema WHERE type = 'table' AND rootpage = 0", func(name, sql string) {
				if !ownTables.MatchString(sql) || otherTables.MatchString(sql) {
					v.open[name] = true
				}
				v.owned = append(v.owned, name)
			})
		}
	}
	return err
}
