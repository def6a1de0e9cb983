package command

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/agent/config"
	"github.com/parleymesh/parley/api"
)

func servicesCommand() *cli.Command {
	return &cli.Command{Name: "services", Usage: "register and deregister services of the agent's host", Category: aboutServices, Subcommands: []*cli.Command{
		{
			Name: "register", Usage: "register services from files or one from flags", ArgsUsage: "[FILE|DIRECTORY|-]...",
			Flags: tenantFlags(
				&cli.StringFlag{Name: "name", Usage: "name of the service"},
				&cli.StringFlag{Name: "id", Usage: "id of the instance, unique on its host; the name if not given"},
				&cli.StringSliceFlag{Name: "tag", Usage: "tag; may be repeated"},
				&cli.StringFlag{Name: "tags", Usage: "several tags with commas between"},
				&cli.StringFlag{Name: "address", Usage: "address of the instance, the host's if not given"},
				&cli.IntFlag{Name: "port", Usage: "port of the instance"},
				&cli.StringFlag{Name: "socket", Usage: "Unix socket of the instance"},
				&cli.StringSliceFlag{Name: "meta", Usage: "key=value to keep with it; may be repeated"},
				&cli.StringFlag{Name: "kind", Usage: "kind of service, for proxies and gateways"},
				&cli.StringSliceFlag{Name: "tagged-address", Usage: "name=host:port of a further address; may be repeated"},
				formatFlag(),
			),
			Action: withClient(registerServices),
		},
		{
			Name: "deregister", Usage: "deregister services by files or one by its id", ArgsUsage: "[FILE|DIRECTORY|-]...",
			Flags:  tenantFlags(&cli.StringFlag{Name: "id", Usage: "id of the instance"}, formatFlag()),
			Action: withClient(deregisterServices),
		},
	}}
}

func registerServices(c *cli.Context, client *api.Client) error {
	definitions, err := definitionsOf(c)
	if err != nil {
		return err
	}
	all := progress{c: c}
	for _, d := range definitions {
		if err := client.Agent().RegisterService(c.Context, &d, false, nil); err != nil {
			return all.end(failed(err, "registering service %q", d.Name))
		}
		for _, w := range d.DNSWarnings() {
			fmt.Fprintf(c.App.ErrWriter, "Warning: %s\n", w)
		}
		all.done(fields{"ID": idOf(d), "Service": d.Name}, "Registered service: %s", d.Name)
	}
	return all.end(nil)
}

func idOf(d api.ServiceDefinition) string {
	if d.ID == "" {
		return d.Name
	}
	return d.ID
}

// definitionsOf reads what to register from the files, or else from the flags.
func definitionsOf(c *cli.Context) ([]api.ServiceDefinition, error) {
	var given []string
	for _, name := range []string{"name", "id", "tag", "tags", "address", "port", "socket", "meta", "kind", "tagged-address"} {
		if c.IsSet(name) {
			given = append(given, "-"+name)
		}
	}
	switch {
	case c.NArg() > 0 && len(given) > 0:
		return nil, fmt.Errorf("a service is described either by files or by flags, not by %s and %s", c.Args().First(), given[0])
	case c.NArg() > 0:
		return definitionFiles(c)
	case len(given) == 0:
		return nil, errors.New("nothing to register: give files, or the flags -name, -port and so on")
	}
	d, err := definitionOfFlags(c)
	return []api.ServiceDefinition{d}, err
}

func definitionOfFlags(c *cli.Context) (api.ServiceDefinition, error) {
	d := api.ServiceDefinition{
		Kind: c.String("kind"), ID: c.String("id"), Name: c.String("name"), Tags: c.StringSlice("tag"),
		Address: c.String("address"), Port: c.Int("port"), SocketPath: c.String("socket"),
		Namespace: c.String("namespace"), Partition: c.String("partition"),
	}
	if d.Name == "" {
		return d, errors.New("the service needs a name: give it with -name")
	}
	for tag := range strings.SplitSeq(c.String("tags"), ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			d.Tags = append(d.Tags, tag)
		}
	}
	var err error
	if d.Meta, err = mapOf(c, "meta"); err != nil {
		return d, err
	}
	d.TaggedAddresses, err = taggedAddresses(c)
	return d, err
}

func taggedAddresses(c *cli.Context) (map[string]api.ServiceAddress, error) {
	texts, err := mapOf(c, "tagged-address")
	if err != nil || len(texts) == 0 {
		return nil, err
	}
	all := make(map[string]api.ServiceAddress, len(texts))
	for name, text := range texts {
		a := api.ServiceAddress{Address: text}
		if host, portText, err := net.SplitHostPort(text); err == nil {
			port, err := strconv.ParseUint(portText, 10, 16)
			if err != nil {
				return nil, fmt.Errorf("-tagged-address %s=%s: %q is no port", name, text, portText)
			}
			a = api.ServiceAddress{Address: host, Port: int(port)}
		}
		all[name] = a
	}
	return all, nil
}

// definitionFiles reads the services that the arguments define. Checks apart from services are left out, and named.
func definitionFiles(c *cli.Context) ([]api.ServiceDefinition, error) {
	var all []api.ServiceDefinition
	for _, path := range c.Args().Slice() {
		services, checks, err := definitionFile(c, path)
		if err != nil {
			return nil, err
		}
		for _, check := range checks {
			fmt.Fprintf(c.App.ErrWriter, "Warning: %s: check %q stands outside of a service and is left out\n", path, check.Name)
		}
		if len(services) == 0 {
			return nil, fmt.Errorf("%s defines no service: want a block named service or services", path)
		}
		all = append(all, services...)
	}
	return all, nil
}

func definitionFile(c *cli.Context, path string) ([]api.ServiceDefinition, []api.CheckDefinition, error) {
	if path != "-" {
		return config.LoadDefinitions(path)
	}
	text, err := input(c, path)
	if err != nil {
		return nil, nil, err
	}
	return config.ReadDefinitions("standard input", text)
}

func deregisterServices(c *cli.Context, client *api.Client) error {
	id, ids := c.String("id"), []string(nil)
	switch {
	case c.NArg() > 0 && id != "":
		return fmt.Errorf("a service is named either by files or by -id, not by %s and -id", c.Args().First())
	case c.NArg() == 0 && id == "":
		return errors.New("nothing to deregister: give -id=... or files")
	case id != "":
		ids = []string{id}
	default:
		definitions, err := definitionFiles(c)
		if err != nil {
			return fmt.Errorf("%w (arguments are files; -id=... names a service)", err)
		}
		for _, d := range definitions {
			ids = append(ids, idOf(d))
		}
	}
	all := progress{c: c}
	for _, id := range ids {
		if err := client.Agent().DeregisterService(c.Context, id, nil); err != nil {
			return all.end(failed(err, "deregistering service %q", id))
		}
		all.done(fields{"ID": id}, "Deregistered service: %s", id)
	}
	return all.end(nil)
}
