package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os/exec"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/agent/watcher"
	"github.com/parleymesh/parley/api"
)

func watchCommand() *cli.Command {
	return &cli.Command{
		Name: "watch", Usage: "run a program whenever something changes", ArgsUsage: "[PROGRAM [ARGUMENT...]]", Category: aboutCluster,
		Description: "The program reads what is watched from its standard input, as JSON; it is called at once, and then after each change. " +
			"Without a program, what is there now is printed.",
		Flags: clientFlags(
			&cli.StringFlag{Name: "type", Usage: "key, keyprefix, services, nodes, service, checks, event, connect_roots, connect_leaf or agent_service"},
			&cli.StringFlag{Name: "key", Usage: "the key, for type key"},
			&cli.StringFlag{Name: "prefix", Usage: "what the keys begin with, for type keyprefix"},
			&cli.StringFlag{Name: "service", Usage: "the service, for types service, checks and connect_leaf; its ID, for agent_service"},
			&cli.StringSliceFlag{Name: "tag", Usage: "only instances with this tag, for type service; may be repeated"},
			&cli.StringFlag{Name: "passingonly", Usage: "only instances whose checks pass, true or false, for type service"},
			&cli.StringFlag{Name: "state", Usage: "only checks of this status, for type checks"},
			&cli.StringFlag{Name: "name", Usage: "only events of this name, for type event"},
			&cli.StringFlag{Name: "filter", Usage: "only those for which this expression holds, for types services, nodes, service and checks"},
			&cli.BoolFlag{Name: "shell", Value: true, Usage: "run the program by a shell, which reads it as a line (-shell=false: as it stands)"},
			formatFlag(),
		),
		Action: withClient(watch),
	}
}

func watch(c *cli.Context, client *api.Client) error {
	w, err := watchOf(c)
	if err != nil {
		return err
	}
	if c.NArg() == 0 {
		return watchOnce(c, client, w)
	}
	script := &watcher.Script{Args: c.Args().Slice()}
	if c.Bool("shell") {
		script = watcher.Shell(strings.Join(script.Args, " "))
	}
	script.Stdout, script.Stderr = c.App.Writer, c.App.ErrWriter
	ctx, stop := context.WithCancelCause(c.Context)
	defer stop(nil)
	w.Run(ctx, client, startable{script, stop}, slog.New(slog.NewTextHandler(c.App.ErrWriter, nil)))
	if err := context.Cause(ctx); c.Context.Err() == nil {
		return err
	}
	return nil // whoever watched has seen enough
}

// startable ends a watch whose program there is not: it would fail each time.
type startable struct {
	*watcher.Script
	stop context.CancelCauseFunc
}

// Handle implements watcher.Handler.
func (s startable) Handle(ctx context.Context, c watcher.Change) error {
	err := s.Script.Handle(ctx, c)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		s.stop(err)
	}
	return err
}

// watchOf reads the flags as the configuration of an agent would be read.
func watchOf(c *cli.Context) (*watcher.Watch, error) {
	parameters := map[string]any{}
	for _, name := range []string{"type", "key", "prefix", "service", "passingonly", "state", "name", "filter", "datacenter"} {
		if value := c.String(name); value != "" {
			parameters[name] = value
		}
	}
	if tags := c.StringSlice("tag"); len(tags) > 0 {
		parameters["tag"] = tags
	}
	if c.Bool("stale") {
		parameters["stale"] = true
	}
	if c.String("type") == "agent_service" {
		parameters["service_id"] = parameters["service"]
		delete(parameters, "service")
	}
	return watcher.Parse(parameters)
}

// watchOnce prints what is there now.
func watchOnce(c *cli.Context, client *api.Client, w *watcher.Watch) error {
	change, err := w.Once(c.Context, client)
	if err != nil {
		return failed(err, "querying the agent")
	}
	var out bytes.Buffer
	if err := json.Indent(&out, change.JSON, "", "    "); err != nil {
		return fmt.Errorf("the agent's answer is no JSON: %w", err)
	}
	out.WriteByte('\n')
	_, err = io.Copy(c.App.Writer, &out)
	return err
}
