package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sqlane/sqlane/internal/plans"
	"github.com/sqlane/sqlane/migrate"
	"github.com/sqlane/sqlane/pool"
)

// check looks for what has drifted apart in a project.
func check(ctx context.Context, a *app) (err error) {
	c := &checkup{app: a, configs: map[string]sqlcRun{}, waived: map[string]bool{}, said: map[string]bool{}}
	if c.dir, err = realPath(a.arg); err != nil {
		return err
	}
	switch info, err := os.Stat(c.dir); {
	case errors.Is(err, fs.ErrNotExist), err == nil && !info.IsDir():
		return fmt.Errorf("%s is no directory", a.arg)
	case err != nil:
		return err
	}
	if c.temp, err = os.MkdirTemp("", "sqlane-check-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.temp)) }()
	if err := c.read(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(c.configs)) {
		if err := c.config(ctx, name, c.configs[name]); err != nil {
			return err
		}
	}
	for _, d := range c.repogen {
		if err := c.repository(ctx, d); err != nil {
			return err
		}
	}
	if len(c.said) > 0 {
		return errFound
	}
	return nil
}

// checkup is one look at a project.
type checkup struct {
	*app
	dir     string
	temp    string
	configs map[string]sqlcRun // by the names of sqlc's configurations
	repogen []directive
	waived  map[string]bool
	said    map[string]bool // the findings
}

// sqlcRun is how sqlc is run for a configuration.
type sqlcRun struct {
	dir  string
	argv func(verb string) []string
}

// finding says one of something in a file, once.
func (c *checkup) finding(file, format string, args ...any) {
	line := c.relative(file) + ": " + fmt.Sprintf(format, args...)
	if !c.said[line] {
		c.said[line] = true
		c.say("%s", line)
	}
}

// relative is a name as seen from where the program runs, if that is shorter.
func (c *checkup) relative(name string) string {
	rel, err := filepath.Rel(c.dir, name)
	if err != nil {
		return name
	}
	return filepath.Join(c.arg, rel)
}

// read finds out what the project consists of.
func (c *checkup) read() error {
	c.line.Doing("reading " + c.arg)
	err := goFiles(c.dir, func(name string, text []byte) error {
		for _, query := range waived(name, text) {
			c.waived[query] = true
		}
		all, err := directives(name, text)
		for _, d := range all {
			if d.tool == "repogen" {
				c.repogen = append(c.repogen, d)
				continue
			}
			config := findConfig(d.dir())
			if _, named := d.flag("f", "file"); named != "" {
				config = beside(name, named)
			}
			if config == "" {
				return fmt.Errorf("%s:%d: sqlc finds no configuration in %s", name, d.line, d.dir())
			}
			c.configs[config] = sqlcRun{d.dir(), func(verb string) []string { return d.with(d.verb(), verb) }}
		}
		return err
	})
	if err != nil {
		return err
	}
	if config := findConfig(c.dir); config != "" {
		if _, ok := c.configs[config]; !ok {
			c.configs[config] = sqlcRun{}
		}
	}
	if len(c.configs) == 0 {
		return fmt.Errorf("there is no sqlc.yaml in %s, nor a go:generate line that runs sqlc; sqlane init begins a project", c.arg)
	}
	words, err := split(c.sqlc)
	if err != nil {
		return wrong("-sqlc: %v", err)
	}
	for config, run := range c.configs {
		switch {
		case len(words) > 0:
			c.configs[config] = sqlcRun{c.dir, func(verb string) []string {
				return append(slices.Clone(words), verb, "-f", config)
			}}
		case run.argv == nil:
			return wrong("no go:generate line runs sqlc for %s: say with -sqlc how it is run", c.relative(config))
		}
	}
	return nil
}

// config looks at what is made by one of sqlc's configurations.
func (c *checkup) config(ctx context.Context, name string, run sqlcRun) error {
	sources, vetted, err := readConfig(name)
	if err != nil {
		return err
	}
	c.line.Doing("comparing generated code: sqlc diff")
	said, failed, err := c.tool(ctx, run.dir, run.argv("diff"))
	if err != nil {
		return err
	}
	drifted := differing(said)
	for _, file := range drifted {
		c.finding(below(name, file), "is not what sqlc makes of migrations and queries; run go generate")
	}
	if failed && len(drifted) == 0 {
		c.sqlcSays(name, said, "files that sqlc makes are missing; run go generate")
	}
	if vetted {
		c.line.Doing("sqlc vet")
		said, failed, err := c.tool(ctx, run.dir, run.argv("vet"))
		if err != nil {
			return err
		}
		if failed {
			c.sqlcSays(name, said, "sqlc vet failed")
		}
	}
	for _, s := range sources {
		if err := c.source(ctx, name, s); err != nil {
			return err
		}
	}
	return nil
}

// differing are the files that sqlc diff names.
func differing(lines []string) (files []string) {
	for i := 1; i < len(lines); i++ {
		old, isOld := strings.CutPrefix(lines[i-1], "--- a")
		if now, isNew := strings.CutPrefix(lines[i], "+++ b"); isOld && isNew && old == now {
			files = append(files, old)
		}
	}
	return files
}

// below is a file of sqlc's, which is absolute if it does not lie below the
// configuration, though it begins with a slash in either case.
func below(config, file string) string {
	if within := filepath.Join(filepath.Dir(config), file); exists(within) {
		return within
	}
	return file
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// positioned is what sqlc says about a place: a file, a line, a column.
var positioned = regexp.MustCompile(`^([^\s:]+)(:\d+:\d+)?: (.*)`)

// sqlcSays makes findings of sqlc's words, or one of what they mean if there are none.
func (c *checkup) sqlcSays(config string, said []string, otherwise string) {
	if len(said) == 0 {
		c.finding(config, "%s", otherwise)
	}
	for _, line := range said {
		if at := positioned.FindStringSubmatch(line); at != nil && exists(beside(config, at[1])) {
			c.finding(beside(config, at[1])+at[2], "%s", at[3])
		} else {
			c.finding(config, "%s", line)
		}
	}
}

// tool runs a command. failed says that it ended so, which may be its way to find
// something. said are its lines without those that only say what it does.
func (c *checkup) tool(ctx context.Context, dir string, argv []string) (said []string, failed bool, err error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second // for what it started
	out, err := cmd.CombinedOutput()
	if s := cmd.ProcessState; s != nil && !s.Exited() { // a terminal's Ctrl-C is both programs', and may have reached that one first
		select {
		case <-ctx.Done():
		case <-time.After(cmd.WaitDelay):
		}
	}
	if ctx.Err() != nil {
		return nil, true, ctx.Err()
	}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return nil, true, fmt.Errorf("%s: %w; install it, or mend the go:generate line, or say with -sqlc how sqlc is run", strings.Join(argv, " "), err)
	}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\r\n")
		if line != "" && !strings.HasPrefix(line, "# package ") && !strings.HasPrefix(line, "go: downloading ") && !strings.HasPrefix(line, "exit status ") {
			said = append(said, line)
		}
	}
	return said, err != nil, nil
}

// repository has repogen write elsewhere, and compares.
func (c *checkup) repository(ctx context.Context, d directive) error {
	c.line.Doing("comparing generated code: repogen")
	at, out := d.flag("out")
	out = beside(d.file, out)
	elsewhere, err := os.MkdirTemp(c.temp, "repogen-")
	if err != nil {
		return err
	}
	// The package has the name of its directory, unless -package names it.
	again := filepath.Join(elsewhere, filepath.Base(filepath.Dir(out)), filepath.Base(out))
	if err := os.Mkdir(filepath.Dir(again), 0o700); err != nil {
		return err
	}
	said, failed, err := c.tool(ctx, d.dir(), d.with(at, again))
	if err != nil {
		return err
	}
	if failed {
		for _, line := range append(said, "repogen failed")[:max(len(said), 1)] {
			c.finding(d.file+":"+strconv.Itoa(d.line), "%s", line)
		}
		return nil
	}
	want, err := os.ReadFile(again)
	if errors.Is(err, fs.ErrNotExist) {
		c.finding(d.file+":"+strconv.Itoa(d.line), "it writes no %s", filepath.Base(out))
		return nil
	} else if err != nil {
		return err
	}
	have, err := os.ReadFile(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.finding(out, "is missing; run go generate")
	case err != nil:
		return err
	case !bytes.Equal(have, want):
		c.finding(out, "is not what repogen makes of the sqlc package; run go generate")
	}
	return nil
}

// source applies migrations to an empty database, and has it plan the queries.
func (c *checkup) source(ctx context.Context, config string, s source) (err error) {
	if s.out == "" || !exists(s.out) {
		return nil // sqlc has said it
	}
	if c.isFixture(config) {
		return nil // its queries run in no program, and are often wrong on purpose
	}
	queries, err := s.queries.sqlFiles()
	if err != nil {
		c.finding(config, "%v", err)
		return nil
	}
	made, err := readGenerated(s.out)
	if err != nil {
		c.finding(s.out, "%v", err)
		return nil
	}
	c.line.Doing("applying the migrations")
	p, err := pool.Open(ctx, pool.Config{Path: pool.Memory, MaxConns: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := c.migrate(ctx, p, s.schema); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.finding(config, "the schema cannot be made: %v", err)
		return nil
	}
	c.line.Doing("planning the queries")
	for _, g := range made {
		at := slices.IndexFunc(queries, func(name string) bool { return filepath.Base(name) == g.source })
		if at < 0 {
			c.finding(g.name, "was made of %s, which sqlc reads no more; delete it", g.source)
			continue
		}
		found, err := plans.Find(ctx, p, g.statements, plans.Scan, plans.Sort)
		if err != nil {
			return err
		}
		for _, f := range found {
			switch {
			case c.waived[f.Name]:
			case f.Err != nil:
				c.finding(queries[at], "%s cannot be prepared on what the migrations make: %v", f.Name, f.Err)
			default:
				c.finding(queries[at], "%s %s: its plan says %q; %s, or have a test waive it: pooltest.Waive(%q, why)", f.Name, f.Fault, f.Line, f.Remedy, f.Name)
			}
		}
	}
	return nil
}

// isFixture reports that a file of the project's lies below a directory that go's commands
// leave out, testdata.
func (c *checkup) isFixture(name string) bool {
	rel, err := filepath.Rel(c.dir, name)
	return err == nil && slices.Contains(strings.Split(filepath.ToSlash(filepath.Dir(rel)), "/"), "testdata")
}

// annotated is what makes a file a migration of goose's.
var annotated = regexp.MustCompile(`(?im)^--\s*\+goose\s+up`)

// migrate makes the schema that sqlc reads: goose's migrations, and what other files
// there are, before or after them as they are listed.
func (c *checkup) migrate(ctx context.Context, p *pool.Pool, schema paths) error {
	names, err := schema.sqlFiles()
	if err != nil {
		return err
	}
	var before, after []file
	var dirs []string                 // that have migrations
	migrations := map[string]string{} // copies of these alone, by directory
	for _, name := range names {
		text, err := os.ReadFile(name)
		dir := filepath.Dir(name)
		switch {
		case err != nil:
			return err
		case annotated.Match(text):
			if migrations[dir] == "" {
				dirs = append(dirs, dir)
				if migrations[dir], err = os.MkdirTemp(c.temp, "schema-"); err != nil {
					return err
				}
			}
			if err := os.WriteFile(filepath.Join(migrations[dir], filepath.Base(name)), text, 0o600); err != nil {
				return err
			}
		case len(dirs) == 0:
			before = append(before, file{name, string(text)})
		default:
			after = append(after, file{name, string(text)})
		}
	}
	if err := execute(ctx, p, before); err != nil {
		return err
	}
	for i, dir := range dirs { // Each has its own versions.
		var own []migrate.Option
		if i > 0 {
			own = append(own, migrate.Table("goose_db_version_"+strconv.Itoa(i)))
		}
		m, err := migrate.New(os.DirFS(migrations[dir]), own...)
		if err != nil {
			return fmt.Errorf("%s: %w", c.relative(dir), err)
		}
		if err := m.Up(ctx, p); err != nil {
			return err
		}
	}
	return execute(ctx, p, after)
}

func execute(ctx context.Context, p *pool.Pool, files []file) error {
	for _, f := range files {
		if _, err := p.Writer().Exec(ctx, f.text); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(f.name), err)
		}
	}
	return nil
}
