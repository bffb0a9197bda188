package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
)

// project is what init writes: docs/start.md's files, letter for letter.
//
//go:embed all:_project
var project embed.FS

const (
	placeholder = "example.org/notes" // the project's module, until it is written
	goVersion   = "1.26"              // what package pool needs
	product     = "github.com/sqlane/sqlane"
)

// initialize writes a new project, the whole of it or nothing.
func initialize(_ context.Context, a *app) error {
	dir, err := filepath.Abs(a.arg)
	if err != nil {
		return err
	}
	files, err := projectFiles()
	if err != nil {
		return err
	}
	module, made, err := a.importPath(dir)
	if err != nil {
		return err
	}
	if made {
		files = append(files, file{"go.mod", "module " + module + "\n\ngo " + goVersion + "\n"})
	}
	for i, f := range files {
		if strings.HasSuffix(f.name, ".go") {
			files[i].text = strings.ReplaceAll(f.text, `"`+placeholder+`/`, `"`+module+`/`)
		}
	}
	if there := inTheWay(dir, files); len(there) > 0 {
		return fmt.Errorf("nothing is written, for there is already %s; choose another directory", strings.Join(there, ", "))
	}
	if err := writeAll(dir, files); err != nil {
		return fmt.Errorf("nothing is written: %w", err)
	}
	for _, f := range files {
		a.say("%s", filepath.Join(a.arg, filepath.FromSlash(f.name)))
	}
	a.say("These are written. Next:")
	for _, line := range next(a.arg, version()) {
		a.say("  %s", line)
	}
	return nil
}

// next are the commands that make the project run. The modules that it needs come
// before repogen is run, which needs them too.
func next(dir, version string) []string {
	lines := []string{
		"go get " + product + "@" + version,
		"go mod tidy",
		"go generate ./...",
		"go run .",
		"go test ./...",
		"go run " + product + "/cmd/sqlane@" + version + " check",
	}
	if filepath.Clean(dir) == "." {
		return lines
	}
	if strings.ContainsFunc(dir, func(r rune) bool { return !strings.ContainsRune(`-_./\:`, r) && !isWord(r) }) {
		dir = "'" + strings.ReplaceAll(dir, "'", `'\''`) + "'"
	}
	return append([]string{"cd " + dir}, lines...)
}

func isWord(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// version is this program's, which the project's code is made for.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return versionOf(info)
	}
	return "latest"
}

func versionOf(info *debug.BuildInfo) string {
	if v := info.Main.Version; info.Main.Path == product && strings.HasPrefix(v, "v") && !strings.Contains(v, "+") {
		return v
	}
	return "latest" // built from a working copy
}

// file is one of the files to be written.
type file struct{ name, text string } // the name with slashes

func projectFiles() (files []file, err error) {
	const root = "_project"
	err = fs.WalkDir(project, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := project.ReadFile(name)
		files = append(files, file{strings.TrimPrefix(name, root+"/"), string(text)})
		return err
	})
	return files, err
}

var (
	moduleLine = regexp.MustCompile(`(?m)^\s*module\s+["` + "`" + `]?([^\s"` + "`" + `]+)`)
	// importable is a path that is one in go.mod and in an import alike.
	importable = regexp.MustCompile(`^[A-Za-z0-9_~-][A-Za-z0-9._~-]*(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$`)
)

// importPath is that of a directory. made says that it is in no module, and begins one.
func (a *app) importPath(dir string) (name string, made bool, err error) {
	for up := dir; ; up = filepath.Dir(up) {
		text, err := os.ReadFile(filepath.Join(up, "go.mod"))
		if found := moduleLine.FindSubmatch(text); err == nil && found == nil {
			return "", false, fmt.Errorf("%s names no module", filepath.Join(up, "go.mod"))
		} else if err == nil {
			name = path.Join(string(found[1]), filepath.ToSlash(strings.TrimPrefix(dir, up)))
			if a.module != "" {
				return "", false, wrong("%s is in the module of %s already, so -module names none", a.arg, filepath.Join(up, "go.mod"))
			}
			if !importable.MatchString(name) {
				return "", false, fmt.Errorf("%q is no import path; choose another directory", name)
			}
			return name, false, nil
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return "", false, err
		}
		if filepath.Dir(up) == up {
			break
		}
	}
	if name = a.module; name == "" {
		name = "example.org/" + filepath.Base(dir)
	}
	switch {
	case importable.MatchString(name):
		return name, true, nil
	case a.module != "":
		return "", false, wrong("-module %q is no path of a module", name)
	}
	return "", false, wrong("%q is no path of a module; give one with -module", name)
}

// inTheWay lists what stands where a file or its directory is to be.
func inTheWay(dir string, files []file) (there []string) {
	seen := map[string]bool{}
	look := func(name string, directory bool) {
		if seen[name] {
			return
		}
		seen[name] = true
		at := filepath.Join(dir, name)
		if _, err := os.Lstat(at); err != nil {
			return
		}
		if info, err := os.Stat(at); directory && err == nil && info.IsDir() {
			return
		}
		there = append(there, at)
	}
	look(".", true)
	for _, f := range files {
		if parent := path.Dir(f.name); parent != "." {
			look(parent, true)
		}
		look(f.name, false)
	}
	return there
}

// writeAll writes files, over none, and takes all away again if one cannot be written.
func writeAll(dir string, files []file) (err error) {
	var made []string
	defer func() {
		if err != nil {
			for i := len(made) - 1; i >= 0; i-- {
				err = errors.Join(err, os.Remove(made[i]))
			}
		}
	}()
	for _, f := range files {
		name := filepath.Join(dir, filepath.FromSlash(f.name))
		if err := makeDirs(filepath.Dir(name), &made); err != nil {
			return err
		}
		w, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil {
			return err
		}
		made = append(made, name)
		_, err = w.WriteString(f.text)
		if err := errors.Join(err, w.Close()); err != nil {
			return err
		}
	}
	return nil
}

// makeDirs makes a directory and those above it, and adds those that it made.
func makeDirs(dir string, made *[]string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := makeDirs(parent, made); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	*made = append(*made, dir)
	return nil
}
