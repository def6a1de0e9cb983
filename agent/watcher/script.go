package watcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// killGrace is how long the output of a program that has ended is waited for: a child of it may hold the pipe open.
const killGrace = time.Second

// keptOutput is how much of a program's output is kept, the last bytes of it.
const keptOutput = 4 << 10

// Script is a program that reads the view from its standard input. The environment variable CONSUL_INDEX has the index.
type Script struct {
	Args []string
	// Stdout and Stderr take what it prints. Nil: the end of that is kept for when it fails.
	Stdout, Stderr io.Writer
	// Said is told what a program printed that did not fail; it may be nil.
	Said func(output string)
}

// Shell runs a line in the shell that the environment names, or in sh.
func Shell(line string) *Script {
	shell := os.Getenv("SHELL")
	if shell == "" {
		shell = "/bin/sh"
	}
	return &Script{Args: []string{shell, "-c", line}}
}

// String names the program.
func (s *Script) String() string { return strings.Join(s.Args, " ") }

// Handle implements Handler. When ctx ends the program is killed, and its children with it.
func (s *Script) Handle(ctx context.Context, c Change) error {
	cmd := exec.CommandContext(ctx, s.Args[0], s.Args[1:]...)
	cmd.Stdin = bytes.NewReader(append(bytes.Clone(c.JSON), '\n'))
	cmd.Env = os.Environ()
	if c.Hash == "" {
		cmd.Env = append(cmd.Env, "CONSUL_INDEX="+strconv.FormatUint(c.Index, 10))
	}
	var output tail
	cmd.Stdout, cmd.Stderr = s.Stdout, s.Stderr
	if s.Stdout == nil {
		cmd.Stdout = &output
	}
	if s.Stderr == nil {
		cmd.Stderr = cmd.Stdout // one writer for both, so that it is written to by one at a time
	}
	cmd.WaitDelay = killGrace
	killWithChildren(cmd)
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it has ended well, and left something running
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &ScriptError{Args: s.Args, Output: output.String(), Err: err}
	}
	if s.Said != nil && len(output.data) > 0 {
		s.Said(output.String())
	}
	return nil
}

// ScriptError tells why a program failed, and what it said.
type ScriptError struct {
	Args   []string
	Output string
	Err    error
}

// Error implements error.
func (e *ScriptError) Error() string {
	if e.Output == "" {
		return fmt.Sprintf("%s: %s", e.Args[0], e.Err)
	}
	return fmt.Sprintf("%s: %s: %s", e.Args[0], e.Err, strings.TrimSpace(e.Output))
}

// Unwrap returns the cause.
func (e *ScriptError) Unwrap() error { return e.Err }

// tail keeps the last bytes written to it.
type tail struct {
	data    []byte
	dropped bool
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p[max(0, len(p)-keptOutput):]...)
	if over := len(t.data) - keptOutput; over > 0 || len(p) > keptOutput {
		t.data = append(t.data[:0], t.data[max(0, over):]...)
		t.dropped = true
	}
	return len(p), nil
}

func (t *tail) String() string {
	text := strings.ToValidUTF8(string(t.data), "")
	if t.dropped {
		return "... " + text
	}
	return text
}
