package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Memory is the Path of a database that lives in memory, for as long as the
// pool does and private to it.
const Memory = ":memory:"

// Config says how to open a pool. The zero value of every field but Path means
// its default.
type Config struct {
	// Path is the database file, taken literally, or ":memory:" for a database
	// private to this pool. A missing file is created, readable by its owner alone;
	// so is the missing target of a symbolic link. A Path that begins with "file:"
	// is ErrConfig: ParseConfig reads that, and "./file:x" is a file of that name.
	Path string
	// ReadOnly opens an existing file for reading. Writes are ErrReadOnly. In WAL
	// mode SQLite makes files beside the database even to read it, unless somebody
	// has it open for writing. Where they cannot be made, Open fails and says so;
	// but on a read-only file system, with no log beside the file, it opens the
	// file as Immutable does. Default: false.
	// See https://www.sqlite.org/wal.html#read_only_databases.
	ReadOnly bool
	// Immutable says that nobody, no other process either, changes the file while
	// it is open: it lies on a read-only medium, say, or is a backup. SQLite then
	// takes no locks and needs no log and no files of its own; if the file does
	// change, answers are wrong, and all that tells is the health check (ErrMoved).
	// Open refuses a file beside which a log or a journal has content, since it
	// would not be read (ErrConfig). Immutable implies ReadOnly. Default: false.
	// See https://www.sqlite.org/uri.html#uriimmutable.
	Immutable bool

	// Name is what the pool is called in metrics and traces: see [Pool.Name].
	// Default: Path.
	Name string

	// MaxConns is the most connections open at once, the writer's included.
	// With 1 that one serves reading and writing. Default: 4, or twice the number
	// of CPUs and one more if that is greater: readers wait for locks inside
	// SQLite, and others use the CPUs meanwhile.
	MaxConns int
	// MinConns is how many are kept open and ready, at most MaxConns.
	// Default: 1. Negative: as few as the pool's promises allow.
	MinConns int
	// MaxWaiters is how many callers may queue for a lease or the write lane;
	// one more gets ErrOverloaded. Default: 0, no limit.
	MaxWaiters int

	// AcquireTimeout is the longest wait for a lease or for the write lane. To open
	// a connection, where a new one is needed, is no such wait: the context,
	// BusyTimeout and OnConnect decide how long that takes.
	// Default: 5s. Negative: only the context limits it.
	AcquireTimeout time.Duration
	// BusyTimeout is how long to wait for a lock that another process holds.
	// Default: 5s. Negative: not at all, but for the moment in which one of the
	// pool's own readers may have the lock; that is a quarter of a second at most.
	BusyTimeout time.Duration

	// MaxConnLifetime is the age at which a connection is replaced once it is
	// idle. Default: 1h. Negative: never.
	MaxConnLifetime time.Duration
	// MaxConnLifetimeJitter is added to a connection's lifetime, a random part
	// of it, so that connections don't expire together. Default: a tenth of
	// MaxConnLifetime. Negative: none.
	MaxConnLifetimeJitter time.Duration
	// MaxConnIdleTime is how long a connection beyond MinConns may be idle
	// before it is closed. Default: 30m. Negative: for ever.
	MaxConnIdleTime time.Duration
	// HealthCheckInterval is how often idle connections and the file are looked
	// at. Default: 30s. Negative: never.
	HealthCheckInterval time.Duration
	// LeakThreshold is how long a lease may be held before it is logged, with
	// the stack that took it. Default: 0, not logged; what timeouts and abandoned
	// leases name is kept all the same: the function that took it, or the query for
	// which a generated method did.
	LeakThreshold time.Duration

	// SlowQuery is how long a statement may run before it is logged, with the name that
	// sqlc gave it, its text, its duration, its plan and what SQLite counted meanwhile:
	// the rows that it stepped over while it read tables or indexes from end to end, its
	// sorts, the rows that it put into indexes of its own, and the steps of its virtual
	// machine. Its arguments are never logged; what its text says is.
	//
	// What counts is the time that it runs within SQLite: neither preparing it, nor waiting
	// for a lane or for another process, nor what the reader of its rows does between
	// them. Of a script each statement counts by itself, and so do the pool's own BEGIN
	// and COMMIT. A statement that fails or is cancelled is logged too, with the error.
	// The plan is asked for afterwards with NULL for each parameter: where it depends on
	// their values, as for LIKE, it may be another one. A PRAGMA and what changes the
	// schema have none. Default: 0, off.
	SlowQuery time.Duration

	// WatchInterval is how often other processes' commits are looked for while
	// somebody watches: see [Pool.Watch]. A look is short, but waits in the write lane
	// like a writer. Default: 1s. Negative: never.
	WatchInterval time.Duration

	// StatementCacheSize is how many prepared statements a connection keeps.
	// Default: 128. Negative: none.
	StatementCacheSize int

	// JournalMode is how a transaction can be undone. Upper and lower case are one.
	// It has no meaning in memory. Default: JournalWAL.
	JournalMode JournalMode
	// Synchronous is how much a commit does to be on disk. Upper and lower case are
	// one. Default: SyncFull.
	Synchronous Synchronous
	// ExternalCheckpoints leaves checkpoints of the write-ahead log to a program
	// that replicates it, such as Litestream, and that keeps the database open
	// meanwhile; without one the log grows. Default: false.
	ExternalCheckpoints bool
	// Pragmas are set on every connection, after the pool's own and in the order
	// of their names. Default: none. Of what is set besides, wal_autocheckpoint may
	// be a surprise: the write-ahead log is checkpointed every 4,000 pages of 4 KiB,
	// or as many as are as large, so that it stays under 16 MiB unless a reader or a
	// large commit keeps it from that.
	Pragmas map[string]string

	// TimeFormat is how a time.Time is written: TimeText (the default), which is
	// "2006-01-02 15:04:05.000000000+00:00" in UTC, or one of TimeUnix,
	// TimeUnixMilli, TimeUnixMicro and TimeUnixNano. A year outside 0000 to 9999 is
	// refused, and with TimeUnixNano one outside 1678 to 2261.
	//
	// It does not matter for reading text: in a column declared as DATE, DATETIME
	// or TIMESTAMP, whatever else is in the declaration, a text that SQLite, its
	// drivers or time.Time.String have written is a time.Time in UTC, and any other
	// text is text. An integer in such a column is a time.Time if TimeFormat is one
	// of integers.
	TimeFormat TimeFormat

	// Logger gets what nobody asked for but should know. Its handler may not use the
	// pool: with the context that it gets, that is ErrDeadlock. Default: slog.Default().
	Logger *slog.Logger
	// Tracer is told of acquires, transactions and queries. Default: nil, off.
	Tracer Tracer
	// TraceArguments gives the arguments of queries to Tracer too. They may be
	// secrets. Default: false.
	TraceArguments bool
	// OnConnect is called with each new connection, after everything else was
	// set up, on a lease that ends when it returns; an error refuses the connection.
	// It uses nothing else of the pool: with its ctx, which carries no transaction, that is
	// ErrDeadlock; with another one it waits until AcquireTimeout, and Close for
	// ever. A panic is the caller's who needed the connection; where maintenance did
	// it is logged. It should not write the main database: a writer may hold the
	// write lane and wait until it may open a connection, and this one waits for the
	// lane, until AcquireTimeout. A file that it attaches outside WAL mode has
	// readers and the writer exclude each other.
	OnConnect func(ctx context.Context, lease *Lease) error
}

// JournalMode is how SQLite keeps what a transaction changes apart from what was
// there. See https://www.sqlite.org/pragma.html#pragma_journal_mode.
type JournalMode string

const (
	// JournalWAL writes changes to a log beside the database, so that readers and
	// the writer do not wait for each other.
	JournalWAL JournalMode = "wal"
	// JournalDelete copies what it overwrites to a journal, which a commit deletes.
	JournalDelete JournalMode = "delete"
	// JournalTruncate is JournalDelete, but that a commit empties the journal.
	JournalTruncate JournalMode = "truncate"
	// JournalPersist is JournalDelete, but that a commit overwrites the beginning
	// of the journal.
	JournalPersist JournalMode = "persist"
)

var journalModes = []JournalMode{JournalWAL, JournalDelete, JournalTruncate, JournalPersist}

// Synchronous is how often SQLite waits until what it has written is on disk. See
// https://www.sqlite.org/pragma.html#pragma_synchronous.
type Synchronous string

const (
	// SyncOff never waits: after a power loss the database may be corrupt.
	SyncOff Synchronous = "off"
	// SyncNormal waits at a checkpoint: in WAL mode a power loss may undo the
	// latest commits, but the database is sound.
	SyncNormal Synchronous = "normal"
	// SyncFull waits at each commit: what was acknowledged survives a power loss.
	// With JournalDelete that takes SQLite's EXTRA, and is that.
	SyncFull Synchronous = "full"
	// SyncExtra is SyncFull and, outside WAL mode, waits for the directory too.
	SyncExtra Synchronous = "extra"
)

var synchronousLevels = []Synchronous{SyncOff, SyncNormal, SyncFull, SyncExtra}

// WithDefaults returns the configuration with every zero field replaced.
func (c Config) WithDefaults() Config {
	c.ReadOnly = c.ReadOnly || c.Immutable
	setDefault(&c.MaxConns, max(4, 2*runtime.NumCPU()+1))
	setDefault(&c.MinConns, 1)
	setDefault(&c.AcquireTimeout, 5*time.Second)
	setDefault(&c.BusyTimeout, 5*time.Second)
	setDefault(&c.MaxConnLifetime, time.Hour)
	setDefault(&c.MaxConnLifetimeJitter, max(c.MaxConnLifetime/10, -1))
	setDefault(&c.MaxConnIdleTime, 30*time.Minute)
	setDefault(&c.HealthCheckInterval, 30*time.Second)
	setDefault(&c.WatchInterval, time.Second)
	setDefault(&c.StatementCacheSize, 128)
	setDefault(&c.JournalMode, JournalWAL)
	setDefault(&c.Synchronous, SyncFull)
	c.JournalMode = JournalMode(strings.ToLower(string(c.JournalMode)))
	c.Synchronous = Synchronous(strings.ToLower(string(c.Synchronous)))
	c.Pragmas = maps.Clone(c.Pragmas)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports every faulty field at once. The error is ErrConfig.
func (c Config) Validate() error {
	var faults []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	d := c.WithDefaults()
	fault(c.Path == "", `Path is empty; name a file or ":memory:"`)
	fault(strings.ContainsRune(c.Path, 0), "Path %q contains a NUL byte", c.Path)
	fault(strings.HasPrefix(c.Path, "file:"), "Path %q is a URI, and Path is a file's name; have ParseConfig read it, or write ./%s", c.Path, c.Path)
	fault(c.ReadOnly && c.Path == Memory, "ReadOnly makes no sense for %s", Memory)
	fault(c.Immutable && c.Path == Memory, "Immutable makes no sense for %s", Memory)
	fault(d.MaxConns < 1, "MaxConns is %d; it must be 1 or more", c.MaxConns)
	fault(c.MinConns > max(d.MaxConns, 0), "MinConns is %d, more than MaxConns, %d", c.MinConns, d.MaxConns)
	fault(c.MaxWaiters < 0, "MaxWaiters is %d; 0 means no limit", c.MaxWaiters)
	fault(c.SlowQuery < 0, "SlowQuery is %v; 0 turns it off", c.SlowQuery)
	fault(c.LeakThreshold < 0, "LeakThreshold is %v; 0 turns it off", c.LeakThreshold)
	fault(!slices.Contains(journalModes, d.JournalMode), "JournalMode is %q, none of %q", c.JournalMode, journalModes)
	fault(!slices.Contains(synchronousLevels, d.Synchronous), "Synchronous is %q, none of %q", c.Synchronous, synchronousLevels)
	fault(c.TimeFormat != "" && !slices.Contains(timeFormats, c.TimeFormat), "TimeFormat is %q, none of %q", c.TimeFormat, timeFormats)
	spelt := make(map[string]string, len(c.Pragmas))
	for _, name := range slices.Sorted(maps.Keys(c.Pragmas)) {
		other, twice := spelt[strings.ToLower(name)]
		fault(twice, "Pragmas: %s and %s are one", other, name)
		spelt[strings.ToLower(name)] = name
		fault(!pragmaName.MatchString(name), "Pragmas: %q is not a name", name)
		fault(!pragmaValue.MatchString(c.Pragmas[name]),
			"Pragmas: the value of %s, %q, is not a single word, number or quoted string", name, c.Pragmas[name])
		if field, ok := ownPragmas[strings.ToLower(name)]; ok {
			fault(true, "Pragmas: %s is the pool's own; set %s", name, field)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return &Error{Op: "validate", Path: c.Path, Err: ErrConfig, Cause: errors.Join(faults...)}
}

// ownPragmas are set from fields, which say more than a PRAGMA can.
var ownPragmas = map[string]string{
	"busy_timeout": "BusyTimeout",
	"journal_mode": "JournalMode",
	"synchronous":  "Synchronous",
	"query_only":   "ReadOnly",
	"locking_mode": "MaxConns to 1 if nobody else may use the file",
}

var (
	pragmaName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	pragmaValue = regexp.MustCompile(`^([+-]?[0-9]+(\.[0-9]+)?|[A-Za-z_][A-Za-z0-9_]*|'([^'\x00]|'')*'|"([^"\x00]|"")*")$`)
)
