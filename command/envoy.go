package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/envoy"
)

func envoyCommand() *cli.Command {
	return &cli.Command{
		Name: "envoy", Usage: "run Envoy as a sidecar", ArgsUsage: "[-- ENVOY-FLAG...]",
		Description: "What stands after -- is handed to Envoy.",
		Flags: tenantFlags(append(sidecarFlags(),
			&cli.BoolFlag{Name: "bootstrap", Usage: "print Envoy's bootstrap file, which holds the token, instead of running it"},
			&cli.StringFlag{Name: "admin-bind", Usage: "host:port of Envoy's administration (" + envoy.DefaultAdminBind + "); one for each Envoy on a host"},
			&cli.StringFlag{Name: "admin-access-log-path", Usage: "file to log requests to the administration in (/dev/null)"},
			&cli.StringFlag{Name: "grpc-addr", Usage: "host:port or unix:// address of the agent's gRPC, https:// before it for TLS (PARLEY_GRPC_ADDR; the agent is asked)"},
			&cli.StringFlag{Name: "grpc-ca-file", Usage: "PEM file of the CA that the agent's gRPC certificate is verified with (PARLEY_GRPC_CACERT; -ca-file)"},
			&cli.StringFlag{Name: "grpc-ca-path", Usage: "directory of such files (PARLEY_GRPC_CAPATH; -ca-path)"},
			&cli.StringFlag{Name: "envoy-binary", Usage: "Envoy's binary (envoy, from PATH)"},
			&cli.StringFlag{Name: "envoy-version", Usage: "version of Envoy, where its binary should not be asked"},
			&cli.BoolFlag{Name: "ignore-envoy-compatibility", Usage: "run also a version of Envoy that the agent does not know"},
			&cli.StringFlag{Name: "nodename", Usage: "name of the node, the agent's if not given"},
		)...),
		Action: withClient(runEnvoy),
	}
}

func runEnvoy(c *cli.Context, client *api.Client) error {
	proxy, err := sidecar(c, client)
	if err != nil {
		return err
	}
	self, _, err := client.Agent().Self(c.Context, nil)
	if err != nil {
		return failed(err, "asking the agent where it serves gRPC")
	}
	options, err := bootstrapOf(c, client, &proxy, &self)
	if err != nil {
		return err
	}
	bootstrap, err := envoy.Bootstrap(options)
	if err != nil {
		return err
	}
	if c.Bool("bootstrap") {
		_, err := c.App.Writer.Write(bootstrap)
		return err
	}
	binary, err := envoy.FindBinary(c.String("envoy-binary"))
	if err != nil {
		return err
	}
	if err := compatible(c, binary, &self); err != nil {
		return err
	}
	if err := adminFree(firstOf(options.AdminBind, envoy.DefaultAdminBind)); err != nil {
		return err
	}
	return envoy.Exec(envoy.RunOptions{Binary: binary, Bootstrap: bootstrap, Args: c.Args().Slice()})
}

// adminFree sees to it that Envoy does not end in a page of its own about an address that another one has. What else may be wrong
// with the address Envoy tells.
func adminFree(address string) error {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("the address of Envoy's administration, %s, is in use, maybe by another Envoy on this host; choose another one with -admin-bind", address)
	}
	if err != nil {
		return nil
	}
	return l.Close()
}

// bootstrapOf joins what the flags and the agent say.
func bootstrapOf(c *cli.Context, client *api.Client, proxy *api.AgentService, self *api.Self) (envoy.BootstrapOptions, error) {
	o := envoy.BootstrapOptions{
		ProxyID: proxy.ID, Service: proxy.Proxy.DestinationServiceName, NodeName: firstOf(c.String("nodename"), self.Config.NodeName),
		Namespace: firstOf(c.String("namespace"), proxy.Namespace), Partition: firstOf(c.String("partition"), proxy.Partition),
		Datacenter: firstOf(c.String("datacenter"), self.Config.Datacenter),
		AdminBind:  c.String("admin-bind"), AdminAccessLogPath: c.String("admin-access-log-path"),
		Token: client.Token(),
	}
	var err error
	if o.GRPCAddr, o.GRPCTLS, err = grpcAddress(c, client, self); err != nil || !o.GRPCTLS {
		return o, err
	}
	o.GRPCServerName = c.String("tls-server-name")
	o.GRPCCA, err = grpcCA(c)
	return o, err
}

// grpcAddress tells where the agent serves xDS: where the flag or the environment say, or on the host of its HTTP API at the
// port that it names.
func grpcAddress(c *cli.Context, client *api.Client, self *api.Self) (address string, tls bool, err error) {
	if text := firstOf(c.String("grpc-addr"), os.Getenv("PARLEY_GRPC_ADDR"), os.Getenv("CONSUL_GRPC_ADDR")); text != "" {
		if strings.HasPrefix(text, "http://") {
			return strings.TrimPrefix(text, "http://"), false, nil
		}
		address, tls = strings.CutPrefix(text, "https://")
		return address, tls, nil
	}
	if self.XDS == nil {
		return "", false, errors.New("the agent does not tell where it serves gRPC: give -grpc-addr")
	}
	port := self.XDS.Ports.Plaintext
	if port <= 0 {
		port, tls = self.XDS.Ports.TLS, true
	}
	if port <= 0 {
		return "", false, errors.New("the agent serves no gRPC, which Envoy needs: set ports.grpc in its configuration, 8502 by custom")
	}
	return net.JoinHostPort(client.Host(), strconv.Itoa(port)), tls, nil
}

// grpcCA reads the certificates that the agent's gRPC is verified with: its own ones, or else those for HTTP.
func grpcCA(c *cli.Context) (string, error) {
	config, err := clientConfig(c)
	if err != nil {
		return "", err
	}
	file := firstOf(c.String("grpc-ca-file"), os.Getenv("PARLEY_GRPC_CACERT"), os.Getenv("CONSUL_GRPC_CACERT"))
	dir := firstOf(c.String("grpc-ca-path"), os.Getenv("PARLEY_GRPC_CAPATH"), os.Getenv("CONSUL_GRPC_CAPATH"))
	if file == "" && dir == "" {
		file, dir = config.CAFile, config.CAPath
	}
	var files []string
	if file != "" {
		files = append(files, file)
	} else if dir != "" {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return "", fmt.Errorf("read the directory of CA certificates: %w", err)
		}
		for _, e := range entries {
			if !e.IsDir() {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
	}
	var all bytes.Buffer
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("read the CA certificate: %w", err)
		}
		all.Write(data)
		all.WriteByte('\n')
	}
	if all.Len() == 0 {
		return "", errors.New("the agent serves gRPC over TLS: give the CA that it is verified with as -grpc-ca-file")
	}
	return all.String(), nil
}

// compatible refuses a version of Envoy that the agent does not know. Patch releases are alike.
func compatible(c *cli.Context, binary string, self *api.Self) error {
	if c.Bool("ignore-envoy-compatibility") || self.XDS == nil || len(self.XDS.SupportedProxies["envoy"]) == 0 {
		return nil
	}
	version := c.String("envoy-version")
	if version == "" {
		var err error
		if version, err = askVersion(c.Context, binary); err != nil {
			return err
		}
	}
	supported := self.XDS.SupportedProxies["envoy"]
	if slices.ContainsFunc(supported, func(s string) bool { return release(s) == release(version) }) {
		return nil
	}
	return fmt.Errorf("version %s of Envoy is not among those that the agent knows (%s); -ignore-envoy-compatibility runs it nevertheless",
		version, strings.Join(supported, ", "))
}

func askVersion(ctx context.Context, binary string) (string, error) {
	return envoy.Version(ctx, binary)
}

// release is a version without its patch level.
func release(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
