// Package command is the command line: flags in, calls of an agent's API, printed tables out, with one file for each group of
// commands. What a command asks for is decided by the agent; here stands only how it is asked and shown.
//
// The process that `parley agent` starts is wired in command/agent.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"
)

// Run carries out a command line, whose first element is the name that the program was started under, and returns the exit
// status.
func Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	program, words := "parley", []string(nil)
	if len(args) > 0 {
		program, words = args[0], args[1:]
	}
	out := &output{to: stdout}
	app := newApp(program)
	if line, ok := completing(words); ok {
		line.complete(context.Background(), app, out)
		return 0 // a shell waits: nothing is said
	}
	app.Reader, app.Writer, app.ErrWriter = stdin, out, stderr
	err := app.RunContext(context.Background(), append([]string{app.Name}, arrange(app.Commands, words)...))
	if failed := out.failure(); err == nil && failed != nil {
		err = fmt.Errorf("write the output: %w", failed)
	}
	return report(stderr, err)
}

// newApp returns the tree of commands.
func newApp(program string) *cli.App {
	app := &cli.App{
		Name:                      displayName(program),
		Usage:                     "service discovery, health, keys and a mesh of mutually authenticated services",
		Commands:                  commands(program),
		Action:                    group,
		OnUsageError:              usageError,
		ExitErrHandler:            func(*cli.Context, error) {}, // report tells of errors
		HideHelp:                  true,                         // help.go has pages of our own
		HideVersion:               true,
		DisableSliceFlagSeparator: true,
	}
	prepare(app.Commands)
	return app
}

// commands is the table of all commands, in the order in which they are shown.
func commands(program string) []*cli.Command {
	return []*cli.Command{
		servicesCommand(), catalogCommand(), dnsCommand(), maintCommand(),
		intentionCommand(), connectCommand(), configCommand(), applyCommand(),
		kvCommand(), lockCommand(), eventCommand(), execCommand(), watchCommand(),
		membersCommand(), rttCommand(), joinCommand(), leaveCommand(), forceLeaveCommand(), operatorCommand(), keyringCommand(), snapshotCommand(), infoCommand(), monitorCommand(), debugCommand(), reloadCommand(),
		agentCommand(program), validateCommand(), keygenCommand(), tlsCommand(), completionCommand(), versionCommand(),
	}
}

// The headings under which the commands are shown.
const (
	aboutServices = "Services"
	aboutMesh     = "Mesh"
	aboutKeys     = "Keys"
	aboutCluster  = "Cluster"
	aboutThis     = "This program"
)

// prepare gives every command what all have in common.
func prepare(all []*cli.Command) {
	for _, c := range all {
		c.HideHelp = true
		c.OnUsageError = usageError
		if c.Action == nil {
			c.Action = group
		}
		prepare(c.Subcommands)
	}
}

// displayName is what the program calls itself.
func displayName(program string) string {
	if strings.TrimSuffix(filepath.Base(program), ".exe") == "consul" {
		return "consul"
	}
	return "parley"
}

// output remembers that something could not be written, so that a full disk does not pass for success. An agent's banner and
// log lines come from many goroutines.
type output struct {
	mu  sync.Mutex // guards all below, and keeps lines whole
	to  io.Writer
	err error // the first
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.to.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// status ends a command with an exit status and nothing more to say.
type status int

// Error implements error.
func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// complaint is an error that is shown as it stands, without "Error: " before it.
type complaint struct {
	line string
	err  error
}

// Error implements error.
func (c *complaint) Error() string { return c.line }

// Unwrap returns the cause.
func (c *complaint) Unwrap() error { return c.err }

// failed is shown as "Error doing something: the cause".
func failed(err error, format string, args ...any) error {
	return &complaint{line: fmt.Sprintf("Error "+format, args...) + ": " + err.Error(), err: err}
}

// refused is shown as "Error! Some sentence".
func refused(format string, args ...any) error {
	return &complaint{line: fmt.Sprintf("Error! "+format, args...)}
}

// report shows an error and returns the exit status.
func report(w io.Writer, err error) int {
	var code status
	var said *complaint
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(w, "Error: interrupted")
	case errors.As(err, &said):
		fmt.Fprintln(w, said.line)
	default:
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(w, "Error: %s\n", strings.TrimSuffix(line, "\n"))
		}
	}
	return 1
}
