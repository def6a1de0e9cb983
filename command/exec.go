package command

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/agent/remoteexec"
	"github.com/parleymesh/parley/api"
)

func execCommand() *cli.Command {
	return &cli.Command{
		Name: "exec", Usage: "run a program on many hosts at once, where their agents allow it", ArgsUsage: "[PROGRAM [ARGUMENT...]|-]", Category: aboutCluster,
		Description: "Agents run nothing unless their configuration has disable_remote_exec = false: whoever may use this can do anything there.\n" +
			"What runs belongs to this command: when it ends or is interrupted, so do the programs. A - stands for a script from standard\n" +
			"input. The exit status is 2 when a program failed somewhere.",
		Flags: clientFlags(
			&cli.StringFlag{Name: "node", Usage: "only on nodes whose name this pattern matches"},
			&cli.StringFlag{Name: "service", Usage: "only on nodes with a service whose name this pattern matches"},
			&cli.StringFlag{Name: "tag", Usage: "only where that service has a tag that this pattern matches; needs -service"},
			&cli.StringFlag{Name: "script", Usage: "run the script in this file rather than a program"},
			&cli.BoolFlag{Name: "shell", Value: true, Usage: "run the program by a shell, which reads it as a line (-shell=false: as it stands)"},
			&cli.StringFlag{Name: "prefix", Value: remoteexec.DefaultPrefix, Usage: "prefix of the keys by which the answers come"},
			&cli.DurationFlag{Name: "wait", Value: 2 * time.Second, Usage: "how long to expect further nodes when none has answered"},
			&cli.DurationFlag{Name: "wait-repl", Usage: "how long to wait before the agents are told; they need no such time"},
			&cli.BoolFlag{Name: "verbose", Usage: "tell what is going on"},
			formatFlag(),
		),
		Action: withClient(remoteExec),
	}
}

func remoteExec(c *cli.Context, client *api.Client) error {
	job, err := jobOf(c)
	if err != nil {
		return err
	}
	prefix := strings.Trim(c.String("prefix"), "/")
	switch {
	case prefix == "":
		return fmt.Errorf("-prefix=%q: want the prefix of keys, such as %s", c.String("prefix"), remoteexec.DefaultPrefix)
	case c.Duration("wait") <= 0 || c.Duration("wait-repl") < 0:
		return fmt.Errorf("-wait must be above 0, and -wait-repl not below")
	case c.String("tag") != "" && c.String("service") == "":
		return fmt.Errorf("-tag goes with -service")
	}
	e := &execution{c: c, nodes: map[string]*execNode{}}
	err = remoteexec.Ask(c.Context, client, remoteexec.Question{
		Job: job, Prefix: prefix, Node: c.String("node"), Service: c.String("service"), Tag: c.String("tag"),
		Quiet: c.Duration("wait"), Before: c.Duration("wait-repl"), Tell: e.tell,
	})
	if err != nil {
		return failed(err, "running on other hosts")
	}
	return e.end()
}

// jobOf reads what to run.
func jobOf(c *cli.Context) (remoteexec.Job, error) {
	var j remoteexec.Job
	args, file := c.Args().Slice(), c.String("script")
	switch {
	case len(args) > 0 && file != "":
		return j, fmt.Errorf("either -script or a program is run, not %s and %s", file, args[0])
	case len(args) == 0 && file == "":
		return j, fmt.Errorf("must specify a command to execute; usage: %s", usage(c.Command))
	case file != "" || len(args) == 1 && args[0] == "-":
		from := "-"
		if file != "" {
			from = "@" + file
		}
		data, err := input(c, from)
		if err == nil && len(bytes.TrimSpace(data)) == 0 {
			err = fmt.Errorf("the script is empty")
		}
		j.Script = data
		return j, err
	}
	j.Args, j.Shell = args, c.Bool("shell")
	if j.Shell {
		j.Args = []string{strings.Join(args, " ")}
	}
	return j, nil
}

// execution is what has come so far.
type execution struct {
	c     *cli.Context
	nodes map[string]*execNode
}

// execNode is what one node has answered.
type execNode struct {
	Node     string
	ExitCode *int // nil when it has never answered
	Output   string

	partial []byte // a line whose end has not come
}

func (e *execution) tell(a remoteexec.Answer) {
	n := e.nodes[a.Node]
	if n == nil {
		n = &execNode{Node: a.Node}
		e.nodes[a.Node] = n
	}
	w := said(e.c)
	switch a.What {
	case remoteexec.Acked:
		if e.c.Bool("verbose") {
			fmt.Fprintf(e.c.App.ErrWriter, "==> %s: acknowledged\n", a.Node)
		}
	case remoteexec.Printed:
		if asJSON(e.c) {
			n.Output += string(a.Output)
			return
		}
		n.partial = append(n.partial, a.Output...)
		whole := bytes.LastIndexByte(n.partial, '\n') + 1
		e.lines(n, n.partial[:whole])
		n.partial = n.partial[whole:]
	case remoteexec.Exited:
		e.lines(n, n.partial)
		n.ExitCode, n.partial = &a.Code, nil
		fmt.Fprintf(w, "==> %s: finished with exit code %d\n", a.Node, a.Code)
	case remoteexec.Lost:
		e.lines(n, n.partial)
		n.partial = nil
		fmt.Fprintf(e.c.App.ErrWriter, "==> %s: its agent is gone, and how the program ended is unknown\n", a.Node)
	}
}

// lines shows what a node printed.
func (e *execution) lines(n *execNode, text []byte) {
	for line := range bytes.Lines(text) {
		fmt.Fprintf(e.c.App.Writer, "    %s: %s\n", n.Node, bytes.TrimSuffix(line, []byte("\n")))
	}
}

// end tells what has become of it all.
func (e *execution) end() error {
	var all []*execNode
	completed, bad := 0, false
	for _, name := range slices.Sorted(maps.Keys(e.nodes)) {
		n := e.nodes[name]
		all = append(all, n)
		bad = bad || n.ExitCode == nil || *n.ExitCode != 0
		if n.ExitCode != nil {
			completed++
		}
	}
	err := done(e.c, all, "%d / %d node(s) completed / acknowledged", completed, len(all))
	if err == nil && len(all) == 0 {
		return &complaint{line: "No agent has run it: none is meant by the flags, or those that are have not disable_remote_exec = false in their configuration."}
	}
	if err == nil && bad {
		return status(2)
	}
	return err
}
