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
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

const usage = `repogen writes a repository for a package that sqlc has generated.

Usage: repogen -gen DIR -out FILE [-package NAME] [-import PATH]

  -gen DIR       the sqlc package, generated with emit_interface: true
  -out FILE      the Go file to write, in a directory of its own
  -package NAME  its package; default: the name of its directory
  -import PATH   the import path of the sqlc package; default: found in go.mod

The file declares Repo and Tx, which both have every query as a method, Reader,
which has the reading ones, New, InTx, Batch, View and Savepoint, Statements, which
returns the queries' texts, and the kinds of errors. It runs on a pool.Store, such
as a pool.Pool, and has the sqlc package's build constraint. It is left alone
unless it changes.

The methods run sqlc's own. Where sqlc numbers parameters wrongly (behind a
sqlc.slice, beside a ?) they give it SQL in which the numbers are right; what sqlc
gets wrong otherwise is refused, with the query's name and what to write instead.
So are emit_methods_with_db_argument and sql_package: pgx. Typical use, in a Go
file beside it:

  //go:generate go run github.com/sqlane/sqlane/cmd/repogen -gen ../gen -out repo_gen.go

Exit codes: 0 done, 1 failed (the old file stays), 2 wrong usage.
`

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("repogen", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dir := flags.String("gen", "", "")
	out := flags.String("out", "", "")
	name := flags.String("package", "", "")
	path := flags.String("import", "", "")
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
	if err := generate(*dir, *out, *name, *path); err != nil {
		fmt.Fprintln(stderr, "repogen:", strings.ReplaceAll(err.Error(), "\n", `\n`))
		return 1
	}
	return 0
}

func misused(stderr io.Writer, what string) int {
	fmt.Fprintf(stderr, "repogen: %s; repogen -help tells more\n", what)
	return 2
}

// generate reads the sqlc package and replaces the file.
func generate(dir, out, name, importPath string) error {
	queries, err := read(dir)
	if err != nil {
		return err
	}
	if queries.importPath = importPath; importPath == "" {
		if queries.importPath, err = findImportPath(dir); err != nil {
			return err
		}
	}
	if info, err := os.Stat(out); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory; name a file in it with -out", out)
	}
	abs, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	if name == "" {
		if name = filepath.Base(filepath.Dir(abs)); !isPackageName(name) {
			return fmt.Errorf("the directory's name %q is no name for a package; give one with -package", name)
		}
	}
	if same(dir, filepath.Dir(abs)) {
		return fmt.Errorf("%s lies in the sqlc package; give it a directory of its own with -out", out)
	}
	source, err := write(queries, name)
	if err != nil {
		return err
	}
	return replace(out, source)
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
