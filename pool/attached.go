package pool

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/sqlane/sqlane/internal/sqlite"
)

// attached is what a connection knows of the databases that it has beside main
// (https://www.sqlite.org/lang_attach.html). conn.mu guards it.
//
// The readers and the writer of a file exclude each other unless it is in WAL
// mode. Two connections can meet in an attached file only if both have it. So a
// connection that has one which is not in WAL mode takes the write lane's shared
// lock to read, as every connection does where main is such a file; others need
// not know. A file in WAL mode stays so while the connection has it: to leave
// that mode takes an exclusive lock on the file.
type attached struct {
	databases []attachment
	excludes  bool // One is not in WAL mode, and others may have it.
	shares    bool // One was attached with a cache or memory that others may share.
	keeps     bool // The locks of one outlast its transactions, since its locking_mode is exclusive.
}

type attachment struct {
	schema string // The database is attached under this name.
	mode   string // Its journal mode is this one.
	always bool   // Every connection has it, from OnConnect.
}

// excludes reports that what the connection reads and what others write exclude
// each other.
func (c *conn) excludes() bool { return c.pool.excluding || c.guard.attached.excludes }

// hasAttached reports that main is not all that a transaction may write.
func (c *conn) hasAttached() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.guard.attached.databases) > 0
}

// excludes reports that so do a new connection and the writer.
func (p *Pool) excludes() bool { return p.excluding || p.attaching.Load() }

// find returns what is attached under a name; nil if that is nothing.
func (a *attached) find(schema string) *attachment {
	for i := range a.databases {
		if strings.EqualFold(a.databases[i].schema, schema) {
			return &a.databases[i]
		}
	}
	return nil
}

// preparedForAttached sorts a PRAGMA of filePragmas that sets something beside
// main. That concerns nobody but who has the same file: leaving WAL mode cannot
// succeed while every connection has it.
func (c *conn) preparedForAttached(s *sqlite.Stmt) {
	p := s.Effects.Pragma
	a := c.guard.attached.find(p.Schema)
	switch {
	case p.Argument == "": // it asks
	case strings.EqualFold(p.Schema, "temp"):
		s.Writes = false
	case p.Name == "locking_mode":
		s.Effects.Attaches = true
	case a != nil && strings.EqualFold(a.mode, p.Argument): // it is set already
		s.Writes = false
	case a != nil && a.always && a.mode == "wal":
	default:
		s.Effects.Attaches = true
	}
}

// attachedNow is called after a statement that may have changed what is attached,
// or how.
func (c *conn) attachedNow(s *sqlite.Stmt, args []sqlite.Argument) error {
	names := []string{s.Effects.Attached}
	for _, arg := range args {
		if arg.Kind == sqlite.Text && s.Effects.Attached == "" {
			names = append(names, arg.Text())
		}
	}
	private := s.Effects.Attached != "" || len(names) > 1 || strings.Contains(s.Text, "''") // else it is an expression
	for _, name := range names {
		name = strings.ToLower(name)
		shared := strings.Contains(name, "cache=shared")
		c.guard.attached.shares = c.guard.attached.shares || shared
		private = private && !shared && !strings.Contains(name, "memdb") && !strings.ContainsRune(name, '%')
	}
	return c.lookAtAttached(private)
}

// lookAtAttached finds out what is attached. private tells that what is new there,
// if it is in memory, is this connection's alone, which SQLite does not tell. A
// file that the connection has already is given back: a transaction would wait for
// itself there.
func (c *conn) lookAtAttached(private bool) (err error) {
	known := &c.guard.attached
	now := attached{shares: known.shares} // by what has a part in it cannot be told any more
	var files []attachedFile
	if !c.pool.memory() {
		files = append(files, attachedFile{"main", c.pool.identity, false})
	}
	var twins []string
	for i := 2; c.db.SchemaName(i) != ""; i++ { // after main and temp
		a := attachment{schema: c.db.SchemaName(i)}
		a.mode = c.ask(a.schema, "journal_mode")
		old := slices.IndexFunc(known.databases, func(k attachment) bool { return k.schema == a.schema })
		a.always = old >= 0 && known.databases[old].always
		path := c.db.Path(a.schema)
		if info, gone := os.Stat(path); path != "" && gone == nil && c.pool.write != nil {
			f := attachedFile{a.schema, info, a.mode == "wal" && c.db.ReadOnlySchema(a.schema)}
			if twin := slices.IndexFunc(files, f.meets); twin >= 0 {
				err = c.pool.fail("attach", ErrDeadlock, nil, fmt.Sprintf("%s is %s already, and a transaction on both would wait for itself; use that one", path, files[twin].schema))
				twins = append(twins, a.schema)
			}
			files = append(files, f)
		}
		now.databases = append(now.databases, a)
		now.keeps = now.keeps || path != "" && c.ask(a.schema, "locking_mode") == "exclusive"
		now.shares = now.shares || path == "" && a.mode == "memory" && old < 0 && !private
		now.excludes = now.excludes || path != "" && a.mode != "wal"
	}
	now.excludes = c.pool.write != nil && (now.excludes || now.shares || now.keeps)
	*known = now
	for _, schema := range twins {
		c.db.Run("DETACH " + quoted(schema))
	}
	return err
}

// keepAttached makes what is attached now, at the end of its setup, a part of the
// connection. The next one is set up under the lock that it takes to read there.
func (c *conn) keepAttached() error {
	if err := c.lookAtAttached(false); err != nil {
		return err
	}
	a := &c.guard.attached
	for i := range a.databases {
		a.databases[i].always = true
	}
	if a.keeps {
		return c.pool.fail("open", ErrConfig, nil, "OnConnect sets locking_mode = exclusive for an attached file, for which the pool's other connections would wait; open a pool of its own for the file, with MaxConns 1")
	}
	if a.excludes {
		c.pool.attaching.Store(true)
	}
	return nil
}

type attachedFile struct {
	schema   string
	info     os.FileInfo
	harmless bool // The database takes no lock that another one would wait for.
}

func (f attachedFile) meets(other attachedFile) bool {
	return os.SameFile(f.info, other.info) && !f.harmless && !other.harmless
}

// ask reads a PRAGMA of an attached database; it needs no lock, since ATTACH has
// read the schema. Where it fails the answer is "", which is no mode.
func (c *conn) ask(schema, pragma string) string {
	k := &c.locks
	exempt := k.exempt
	k.exempt = true
	k.kept++
	defer func() { k.exempt = exempt; k.kept-- }()
	answer, _ := c.word(ownCall(), "PRAGMA "+quoted(schema)+"."+pragma)
	return answer
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// takeToAttach is for an ATTACH that finds the file locked, perhaps by this
// process's writer.
func (k *locks) takeToAttach(c *conn, cl *call) error {
	if k.exempt || k.slot || k.shared.Load() || c.pool.write == nil {
		return nil
	}
	return k.takeShared(c, cl)
}
