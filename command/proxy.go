package command

import (
	"fmt"
	"log/slog"

	"github.com/urfave/cli/v2"

	agentconfig "github.com/parleymesh/parley/agent/config"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/builtin"
	"github.com/parleymesh/parley/proxy/snapshot"
)

func proxyCommand() *cli.Command {
	return &cli.Command{
		Name: "proxy", Usage: "run the embedded proxy as a sidecar",
		Flags: tenantFlags(append(sidecarFlags(),
			&cli.StringFlag{Name: "log-level", Usage: "trace, debug, info, warn or error", Value: "info"},
			&cli.BoolFlag{Name: "log-json", Usage: "write the log as JSON"},
		)...),
		Action: withClient(runProxy),
	}
}

func runProxy(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	level, err := agentconfig.ParseLevel(c.String("log-level"))
	if err != nil {
		return fmt.Errorf("-log-level: %w", err)
	}
	proxy, err := sidecar(c, client)
	if err != nil {
		return err
	}
	log := slog.New(logHandler(c, level))
	source, err := snapshot.NewRemote(snapshot.RemoteOptions{Agent: client.URL(), HTTP: client.HTTP(), Logger: log})
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "==> Proxy %s for service %s is starting; Ctrl-C stops it\n", proxy.ID, proxy.Proxy.DestinationServiceName)
	return builtin.Run(c.Context, builtin.Options{Source: source, ProxyID: proxy.ID, Token: client.Token(), Logger: log})
}

func logHandler(c *cli.Context, level slog.Level) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if c.Bool("log-json") {
		return slog.NewJSONHandler(c.App.Writer, options)
	}
	return slog.NewTextHandler(c.App.Writer, options)
}
