package command

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/agent/config/hcl"
	"github.com/parleymesh/parley/api"
)

func connectCommand() *cli.Command {
	return &cli.Command{Name: "connect", Usage: "run sidecars and configure the certificate authority", Category: aboutMesh, Subcommands: []*cli.Command{
		envoyCommand(), proxyCommand(),
		{Name: "ca", Usage: "the certificate authority of the mesh", Subcommands: []*cli.Command{
			{Name: "get-config", Usage: "show its configuration", Flags: clientFlags(formatFlag()), Action: withClient(caGetConfig)},
			{
				Name: "set-config", Usage: "change its configuration",
				Flags: clientFlags(
					&cli.StringFlag{Name: "config-file", Usage: "JSON or HCL file with Provider and Config, or - for standard input"},
					&cli.BoolFlag{Name: "force-without-cross-signing", Usage: "also when proxies cannot verify one another until they have new certificates"},
					formatFlag(),
				),
				Action: withClient(caSetConfig),
			},
		}},
	}}
}

func caGetConfig(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	config, _, err := client.CA().Configuration(c.Context, query(c))
	if err != nil {
		return failed(err, "querying the CA configuration")
	}
	return showJSON(c.App.Writer, config, "\t")
}

func caSetConfig(c *cli.Context, client *api.Client) error {
	name := c.String("config-file")
	if name == "" {
		return errors.New("the -config-file flag is required")
	}
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	tree, err := treeOf(c, name)
	if err != nil {
		return err
	}
	var config api.CAConfiguration
	if err := hcl.Decode(tree, &config); err != nil {
		return err
	}
	if c.Bool("force-without-cross-signing") {
		config.ForceWithoutCrossSigning = true
	}
	if err := client.CA().SetConfiguration(c.Context, &config, nil); err != nil {
		return failed(err, "setting the CA configuration")
	}
	return done(c, config, "Configuration updated!")
}

// sidecarFlags say which proxy a command is to be.
func sidecarFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "sidecar-for", Usage: "be the sidecar of this service, named by its id on the agent's host"},
		&cli.StringFlag{Name: "proxy-id", Usage: "be the proxy that is registered with this id"},
	}
}

// sidecar finds the proxy's registration with the agent.
func sidecar(c *cli.Context, client *api.Client) (api.AgentService, error) {
	id, service := c.String("proxy-id"), c.String("sidecar-for")
	switch {
	case id == "" && service == "":
		return api.AgentService{}, errors.New("no proxy ID specified: one of -proxy-id and -sidecar-for is required")
	case id != "" && service != "":
		return api.AgentService{}, errors.New("only one of -proxy-id and -sidecar-for may be given")
	}
	all, _, err := client.Agent().Services(c.Context, nil)
	if err != nil {
		return api.AgentService{}, failed(err, "looking for the proxy's registration")
	}
	if service != "" {
		return sidecarFor(all, service)
	}
	proxy, ok := all[id]
	if !ok {
		return proxy, fmt.Errorf("no proxy is registered with the id %q on the agent's host%s", id, listed("; registered are ", proxyIDs(all, isSidecar)))
	}
	if !isSidecar(proxy) {
		return proxy, fmt.Errorf("%q is no sidecar proxy; -sidecar-for=%s finds its sidecar", id, id)
	}
	return proxy, nil
}

// sidecarFor finds the one sidecar of a service: by the service's id or, where no service has that, by its name.
func sidecarFor(all map[string]api.AgentService, service string) (api.AgentService, error) {
	ids := proxyIDs(all, func(s api.AgentService) bool { return isSidecar(s) && s.Proxy.DestinationServiceID == service })
	if len(ids) == 0 {
		ids = proxyIDs(all, func(s api.AgentService) bool { return isSidecar(s) && s.Proxy.DestinationServiceName == service })
	}
	switch len(ids) {
	case 1:
		return all[ids[0]], nil
	case 0:
		next := "; register the service first"
		if len(proxyIDs(all, func(s api.AgentService) bool { return s.ID == service || s.Service == service })) > 0 {
			next = ", which is registered without one; register it again with connect { sidecar_service {} }"
		}
		return api.AgentService{}, fmt.Errorf("no sidecar proxy registered for %s%s", service, next)
	}
	return api.AgentService{}, fmt.Errorf("there is more than one sidecar for %s: choose with -proxy-id%s", service, listed(" one of ", ids))
}

func isSidecar(s api.AgentService) bool { return s.Kind == api.KindConnectProxy && s.Proxy != nil }

// proxyIDs returns the ids of the services that want chooses, sorted.
func proxyIDs(all map[string]api.AgentService, want func(api.AgentService) bool) []string {
	ids := slices.Sorted(maps.Keys(all))
	return slices.DeleteFunc(ids, func(id string) bool { return !want(all[id]) })
}

func listed(before string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return before + strings.Join(names, ", ")
}
