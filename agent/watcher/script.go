package watcher

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/parleymesh/parley/agent/script"
)

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
	cmd := script.Command(ctx, s.Args)
	cmd.Stdin = bytes.NewReader(append(bytes.Clone(c.JSON), '\n'))
	cmd.Env = os.Environ()
	if c.Hash == "" {
		cmd.Env = append(cmd.Env, "CONSUL_INDEX="+strconv.FormatUint(c.Index, 10))
	}
	output := script.NewTail(keptOutput)
	cmd.Stdout, cmd.Stderr = s.Stdout, s.Stderr
	if s.Stdout == nil {
		cmd.Stdout = output
	}
	if s.Stderr == nil {
		cmd.Stderr = cmd.Stdout // one writer for both, so that it is written to by one at a time
	}
	err := script.Run(cmd)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &ScriptError{Args: s.Args, Output: output.String(), Err: err}
	}
	if text := output.String(); s.Said != nil && text != "" {
		s.Said(text)
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
