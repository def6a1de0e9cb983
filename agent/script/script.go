// Package script runs programs that people configure, such as script checks and the handlers of watches, in such a way that they
// harm nobody: without a shell, killed with all their children, and with an end to what is kept of their output. What a program
// is told and what its exit status means is left to those who run it.
package script

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"time"
)

// killGrace is how long the output of a program that has ended is waited for: a child of it may hold the pipe open.
const killGrace = time.Second

// Command returns a program that is killed, and its children with it, when ctx ends. It is to be run by Run.
func Command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.WaitDelay = killGrace
	killWithChildren(cmd)
	return cmd
}

// Run runs a program and returns how it ended. One that ends well and leaves something running that holds its output open has
// ended well: what comes after is not waited for.
func Run(cmd *exec.Cmd) error {
	if err := cmd.Run(); !errors.Is(err, exec.ErrWaitDelay) {
		return err
	}
	return nil
}

// Tail keeps the last bytes written to it, where programs say what went wrong.
type Tail struct {
	max     int
	data    []byte
	dropped bool
}

// NewTail returns a Tail of so many bytes, the mark that something is missing included.
func NewTail(max int) *Tail { return &Tail{max: max} }

// Write implements io.Writer. It never fails, so that no program is stopped for what it prints.
func (t *Tail) Write(p []byte) (int, error) {
	n := len(p)
	if len(p) > t.max {
		p = p[len(p)-t.max:]
		t.dropped = true
	}
	if over := len(t.data) + len(p) - t.max; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
		t.dropped = true
	}
	t.data = append(t.data, p...)
	return n, nil
}

// String is the end of what was written, after a mark where something is missing before it.
func (t *Tail) String() string {
	const mark = "... "
	if !t.dropped || t.max < len(mark) {
		return string(t.data)
	}
	return mark + strings.ToValidUTF8(string(t.data[min(len(mark), len(t.data)):]), "")
}
