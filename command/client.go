package command

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

// reachingAgent is the heading of the flags that all commands have which talk to an agent.
const reachingAgent = "Flags for reaching the agent"

// clientFlags returns those flags after a command's own. What they do not say, the environment does: PARLEY_HTTP_ADDR,
// PARLEY_HTTP_TOKEN and so on, or CONSUL_HTTP_ADDR where that is not set.
func clientFlags(own ...cli.Flag) []cli.Flag {
	flag := func(name, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, Usage: usage, Category: reachingAgent}
	}
	return append(own,
		flag("http-addr", "host:port, http://, https:// or unix:// address of the agent (PARLEY_HTTP_ADDR; "+api.DefaultAddress+")"),
		flag("token", "token to identify by (PARLEY_HTTP_TOKEN)"),
		flag("token-file", "file that holds the token (PARLEY_HTTP_TOKEN_FILE)"),
		flag("ca-file", "PEM file of the CA that the agent's certificate is verified with (PARLEY_CACERT)"),
		flag("ca-path", "directory of such files (PARLEY_CAPATH)"),
		flag("client-cert", "certificate to identify by (PARLEY_CLIENT_CERT)"),
		flag("client-key", "its key (PARLEY_CLIENT_KEY)"),
		flag("tls-server-name", "name expected in the agent's certificate (PARLEY_TLS_SERVER_NAME)"),
		flag("datacenter", "datacenter to ask, the agent's own if not given"),
		&cli.BoolFlag{Name: "stale", Usage: "let any server answer, though it may be behind", Category: reachingAgent},
	)
}

// tenantFlags returns client flags for what has a place in a namespace and partition.
func tenantFlags(own ...cli.Flag) []cli.Flag {
	return clientFlags(append(own, partitionFlag(),
		&cli.StringFlag{Name: "namespace", Usage: "namespace, the default one if not given (PARLEY_NAMESPACE)", Category: reachingAgent})...)
}

func partitionFlag() cli.Flag {
	return &cli.StringFlag{Name: "partition", Usage: "partition, the default one if not given (PARLEY_PARTITION)", Category: reachingAgent}
}

// clientConfig joins the flags and the environment.
func clientConfig(c *cli.Context) (api.Config, error) { return configOf(c.App.Name, c.String) }

// configOf is clientConfig with the flags as value knows them.
func configOf(program string, value func(flag string) string) (api.Config, error) {
	config, err := api.ConfigFromEnv(os.Getenv)
	if err != nil {
		return config, err
	}
	if program == "consul" {
		config.AddressVariable = "CONSUL_HTTP_ADDR" // which is read as well, and what its users know
	}
	if value("token") != "" || value("token-file") != "" { // one flag overrules both variables
		config.Token, config.TokenFile = "", ""
	}
	for name, field := range map[string]*string{
		"http-addr": &config.Address, "token": &config.Token, "token-file": &config.TokenFile, "ca-file": &config.CAFile,
		"ca-path": &config.CAPath, "client-cert": &config.CertFile, "client-key": &config.KeyFile,
		"tls-server-name": &config.TLSServerName, "datacenter": &config.Datacenter, "namespace": &config.Namespace,
		"partition": &config.Partition,
	} {
		if given := value(name); given != "" {
			*field = given
		}
	}
	if value("http-addr") != "" {
		config.AddressFrom = "-http-addr"
	}
	return config, nil
}

// withClient is the action of a command that talks to an agent. SIGINT and SIGTERM end its context.
func withClient(do func(c *cli.Context, client *api.Client) error) cli.ActionFunc {
	return interruptible(func(c *cli.Context) error {
		config, err := clientConfig(c)
		if err != nil {
			return err
		}
		client, err := api.New(config)
		if err != nil {
			return err
		}
		defer client.Close()
		return do(c, client)
	})
}

// interruptible ends an action's context when the process is told to end.
func interruptible(do cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
		defer stop()
		c.Context = ctx
		return do(c)
	}
}

// query returns the options of a read.
func query(c *cli.Context) *api.QueryOptions {
	q := &api.QueryOptions{Filter: c.String("filter")}
	if c.Bool("stale") {
		q.Mode = api.Stale
	}
	return q
}

// mapOf reads repeated key=value flags.
func mapOf(c *cli.Context, flag string) (map[string]string, error) {
	values := c.StringSlice(flag)
	if len(values) == 0 {
		return nil, nil
	}
	m := make(map[string]string, len(values))
	for _, text := range values {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("-%s %q: want key=value", flag, text)
		}
		m[key] = value
	}
	return m, nil
}
