// Package child runs a function of this program in a process of its own, to be
// killed or starved there.
package child

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// role is the environment variable that makes the program a child.
const role = "SQLANE_TORTURE_ROLE"

// Role is what a child does. setup is what Start was given, as JSON; what it
// writes to standard output are its lines. It ends at the latest when standard
// input does: whoever started it is gone, or wants it to end.
type Role func(setup []byte) error

// Main does nothing in an ordinary process. In a child it plays the role and
// exits. Whatever program starts children calls it first.
func Main(roles map[string]Role) {
	name, ok := os.LookupEnv(role)
	if !ok {
		return
	}
	play := roles[name]
	if play == nil || len(os.Args) < 2 {
		fmt.Fprintf(os.Stderr, "no child can be %q\n", name)
		os.Exit(2)
	}
	if err := play([]byte(os.Args[len(os.Args)-1])); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Child is a running one.
type Child struct {
	Cmd   *exec.Cmd
	In    io.WriteCloser
	Lines <-chan string // what it says; closed when it has ended
	wait  func() error
}

// Option changes the command before it is started.
type Option func(*exec.Cmd)

// Start starts a child.
func Start(name string, setup any, options ...Option) (*Child, error) {
	text, err := json.Marshal(setup)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, string(text))
	cmd.Env = append(os.Environ(), role+"="+name)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not for it
	for _, change := range options {
		change(cmd)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := make(chan string, 1<<16)
	go func() { // ends with the child, and whoever started one waits for it
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return &Child{Cmd: cmd, In: in, Lines: lines, wait: sync.OnceValue(cmd.Wait)}, nil
}

// Kill kills the child as kill -9 does. What it had said is still to be read.
func (c *Child) Kill() { _ = c.Cmd.Process.Kill() }

// Wait waits until the child has ended and returns all that it had still to say.
func (c *Child) Wait() (rest []string, err error) {
	for line := range c.Lines {
		rest = append(rest, line)
	}
	return rest, c.wait()
}

// End asks the child to end, and waits for it.
func (c *Child) End() (rest []string, err error) {
	_ = c.In.Close()
	return c.Wait()
}
