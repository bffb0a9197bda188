// Command repogen writes a repository for a package that sqlc has generated:
// each query as a method, inside and outside transactions, on a pool.Store.
package main

import (
	"flag"
	"fmt"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sqlane/sqlane/internal/terminal"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, goList)) }

const usage = `repogen writes a repository for a package that sqlc has generated.

Usage: repogen -gen DIR -out FILE [-package NAME] [-import PATH] [-v]

  -gen DIR       the sqlc package, generated with emit_interface: true
  -out FILE      the Go file to write, in a directory of its own
  -package NAME  its package; default: the name of its directory
  -import PATH   the import path of the sqlc package; default: found in go.mod
  -v             name the queries that run sqlc's own method, and why, and those
                 without an iterator

The file declares Repo and Tx, which both have every query as a method, Reader,
which has the reading ones, New, InTx, Batch, View, Savepoint, AfterCommit and Watch,
Statements, which returns the queries' texts, and the kinds of errors. It runs on a
pool.Store, such as a pool.Pool, and has the sqlc package's build constraint. It is
left alone unless it changes.

What sqlc's methods do is read from their bodies and done on the store's own way to
a row; a query whose method is not of sqlc's form, or whose types cannot be found with
go list, runs that method, with the same outcome. A query for :many also has an iterator,
such as ListFilesSeq for ListFiles, unless another query is called so.

Where sqlc numbers parameters wrongly (behind a sqlc.slice, beside a ?) the methods
have SQL in which the numbers are right; what sqlc gets wrong otherwise is refused,
with the query's name and what to write instead.
So are emit_methods_with_db_argument and sql_package: pgx. Typical use, in a Go
file beside it:

  //go:generate go run github.com/sqlane/sqlane/cmd/repogen -gen ../gen -out repo_gen.go

What takes longer than a moment, as go list may, is shown on a terminal meanwhile, on
standard error.

Exit codes: 0 done, 1 failed (the old file stays), 2 wrong usage.
`

func run(args []string, stdout, stderr io.Writer, list lister) int {
	flags := flag.NewFlagSet("repogen", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dir := flags.String("gen", "", "")
	out := flags.String("out", "", "")
	name := flags.String("package", "", "")
	path := flags.String("import", "", "")
	verbose := flags.Bool("v", false, "")
	switch err := flags.Parse(args); {
	case err == flag.ErrHelp:
		fmt.Fprint(stdout, usage)
		return 0
	case err != nil:
		return misused(stderr, err.Error())
	case flags.NArg() > 0:
		return misused(stderr, fmt.Sprintf("unexpected argument %q", flags.Arg(0)))
	case *dir == "" || *out == "":
		return misused(stderr, "-gen and -out are needed")
	case *name != "" && !isPackageName(*name):
		return misused(stderr, fmt.Sprintf("-package %q is no name for a package", *name))
	case *path != "" && !isImportPath(*path):
		return misused(stderr, fmt.Sprintf("-import %q is no import path", *path))
	}
	line := terminal.NewLine(stderr)
	line.Doing("finding the types of " + *dir)
	queries, err := generate(*dir, *out, *name, *path, list)
	line.Stop()
	if err != nil {
		fmt.Fprintln(stderr, "repogen:", strings.ReplaceAll(err.Error(), "\n", `\n`))
		return 1
	}
	if *verbose {
		queries.tell(stdout)
	}
	return 0
}

func misused(stderr io.Writer, what string) int {
	fmt.Fprintf(stderr, "repogen: %s; repogen -help tells more\n", what)
	return 2
}

// generate reads the sqlc package and replaces the file.
func generate(dir, out, name, importPath string, list lister) (*sqlcPackage, error) {
	queries, err := read(dir, list)
	if err != nil {
		return nil, err
	}
	if queries.importPath = importPath; importPath == "" {
		if queries.importPath, err = findImportPath(dir); err != nil {
			return nil, err
		}
	}
	if info, err := os.Stat(out); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a directory; name a file in it with -out", out)
	}
	abs, err := filepath.Abs(out)
	if err != nil {
		return nil, err
	}
	if name == "" {
		if name = filepath.Base(filepath.Dir(abs)); !isPackageName(name) {
			return nil, fmt.Errorf("the directory's name %q is no name for a package; give one with -package", name)
		}
	}
	if same(dir, filepath.Dir(abs)) {
		return nil, fmt.Errorf("%s lies in the sqlc package; give it a directory of its own with -out", out)
	}
	source, err := write(queries, name)
	if err != nil {
		return nil, err
	}
	return queries, replace(out, source)
}

// tell names the queries that are less than others.
func (p *sqlcPackage) tell(w io.Writer) {
	for _, q := range p.queries {
		switch {
		case q.body == nil:
			how := ""
			if line, _, _ := strings.Cut(q.text, "\n"); strings.HasSuffix(line, " :many") {
				how = " and has no iterator"
			}
			fmt.Fprintf(w, "%s runs sqlc's own method%s: %v\n", q.name, how, q.why)
		case q.body.verb == "many" && q.noSeq:
			fmt.Fprintf(w, "%s has no iterator: %[1]sSeq is a query\n", q.name)
		}
	}
}

func same(a, b string) bool {
	x, err := os.Stat(a)
	y, errToo := os.Stat(b)
	return err == nil && errToo == nil && os.SameFile(x, y)
}

func isPackageName(name string) bool { return token.IsIdentifier(name) && name != "_" }

// isImportPath reports whether compilers take the path: they refuse these characters.
func isImportPath(path string) bool {
	return utf8.ValidString(path) && !strings.ContainsFunc(path, func(r rune) bool {
		return !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune("!\"#$%&'()*,:;<=>?[\\]^`{|}\ufffd", r)
	})
}
