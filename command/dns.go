package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

func dnsCommand() *cli.Command {
	addr := &cli.StringFlag{Name: "dns-addr", Value: "127.0.0.1:8600", Usage: "where the agent answers DNS questions, host:port"}
	domain := &cli.StringSliceFlag{Name: "domain", Usage: "domain that is the agent's; may be repeated (consul)"}
	return &cli.Command{Name: "dns", Usage: "have this host's programs find services by name", Category: aboutServices, Subcommands: []*cli.Command{
		{
			Name: "install", Usage: "write what the host's resolver needs to know",
			Description: "Without -write, the files are only shown.",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "type", Usage: "systemd-resolved or dnsmasq; the one that this host has, if not given"},
				addr, domain,
				&cli.StringFlag{Name: "root", Value: "/", Usage: "directory that the paths are beneath, for images"},
				&cli.BoolFlag{Name: "write", Usage: "write the files"},
				&cli.BoolFlag{Name: "force", Usage: "also over files that somebody else has written or changed"},
				formatFlag(),
			},
			Action: dnsInstall,
		},
		{
			Name: "check", Usage: "look a name up as every program on this host does",
			Description: "The same name is asked of the agent and of the host's resolver. The exit status is 1 when they do not agree.",
			Flags: []cli.Flag{
				addr, domain,
				&cli.StringFlag{Name: "name", Usage: "name to look up; that of the servers, if not given"},
				&cli.DurationFlag{Name: "timeout", Value: 5 * time.Second, Usage: "how long each lookup may take"},
				formatFlag(),
			},
			Action: interruptible(dnsCheck),
		},
	}}
}

// resolverFile is a file that a resolver reads.
type resolverFile struct{ Path, Text string }

// writtenBy is the first line of the files, by which they are known again.
const writtenBy = "# Written by `parley dns install`; what is changed here is lost when that runs again with -force.\n"

// resolver is a program that answers the DNS questions of a host.
type resolver struct {
	sign    string // a path that a host has which runs it
	restart string
	files   func(agent netip.AddrPort, domains []string) []resolverFile
}

var resolvers = map[string]resolver{
	"systemd-resolved": {"/run/systemd/resolve", "systemctl restart systemd-resolved", resolvedFiles},
	"dnsmasq":          {"/etc/dnsmasq.d", "systemctl restart dnsmasq", dnsmasqFiles},
}

// unsignedElsewhere are the names of which systemd-resolved takes answers for unsigned by itself, as dnssec-trust-anchors.d(5) says. A
// file of ours takes the place of its list, so they are in that as well.
var unsignedElsewhere = func() []string {
	names := []string{"home.arpa", "10.in-addr.arpa"}
	for i := 16; i <= 31; i++ {
		names = append(names, fmt.Sprintf("%d.172.in-addr.arpa", i))
	}
	return append(names, "170.0.0.192.in-addr.arpa", "171.0.0.192.in-addr.arpa", "168.192.in-addr.arpa", "d.f.ip6.arpa", "ipv4only.arpa",
		"corp", "home", "internal", "intranet", "lan", "local", "private", "test")
}()

// resolvedFiles sends questions about the domains, and no others, to the agent. Their answers are not signed, which is said
// of them alone.
func resolvedFiles(agent netip.AddrPort, domains []string) []resolverFile {
	var routes []string
	for _, d := range domains {
		routes = append(routes, "~"+d)
	}
	return []resolverFile{
		{"/etc/systemd/resolved.conf.d/parley.conf", writtenBy + fmt.Sprintf("[Resolve]\nDNS=%s\nDomains=%s\n", agent, strings.Join(routes, " "))},
		{"/etc/dnssec-trust-anchors.d/parley.negative", "; " + strings.TrimPrefix(writtenBy, "# ") + strings.Join(slices.Concat(domains, unsignedElsewhere), "\n") + "\n"},
	}
}

func dnsmasqFiles(agent netip.AddrPort, domains []string) []resolverFile {
	var b strings.Builder
	b.WriteString(writtenBy)
	for _, d := range domains {
		fmt.Fprintf(&b, "server=/%s/%s#%d\n", d, agent.Addr(), agent.Port())
	}
	return []resolverFile{{"/etc/dnsmasq.d/parley.conf", b.String()}}
}

func dnsInstall(c *cli.Context) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	agent, domains, err := dnsFlags(c)
	if err != nil {
		return err
	}
	root := c.String("root")
	kind, r, err := resolverOf(c.String("type"), root)
	if err != nil {
		return err
	}
	files, write, w := r.files(agent, domains), c.Bool("write"), said(c)
	for i := range files {
		f := &files[i]
		f.Path = filepath.Join(root, f.Path)
		if !write {
			fmt.Fprintf(w, "%s:\n%s\n", f.Path, f.Text)
			continue
		}
		if err := writeResolverFile(*f, c.Bool("force")); err != nil {
			return err
		}
		fmt.Fprintf(w, "Wrote %s\n", f.Path)
	}
	return show(c, fields{"Type": kind, "Files": files, "Written": write, "Next": r.restart}, func(w io.Writer) {
		if write {
			fmt.Fprintf(w, "Next: run \"%s\", then \"%s dns check\".\n", r.restart, c.App.Name)
		} else {
			fmt.Fprintf(w, "This is what %s needs. Nothing was written; add -write for that.\n", kind)
		}
	})
}

// dnsFlags reads where the agent is and which domains are its own.
func dnsFlags(c *cli.Context) (netip.AddrPort, []string, error) {
	agent, err := netip.ParseAddrPort(c.String("dns-addr"))
	if err != nil || agent.Port() == 0 {
		return agent, nil, fmt.Errorf("-dns-addr %q: want an IP address and a port, such as 127.0.0.1:8600", c.String("dns-addr"))
	}
	var domains []string
	for _, d := range c.StringSlice("domain") {
		d = strings.ToLower(strings.Trim(d, "."))
		if d == "" || strings.ContainsFunc(d, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-._", r) }) {
			return agent, nil, fmt.Errorf("-domain %q is not a DNS domain", d)
		}
		domains = append(domains, d)
	}
	if domains == nil {
		domains = []string{"consul"}
	}
	return agent, domains, nil
}

// resolverOf returns the resolver of that name, or the one that the host has.
func resolverOf(name, root string) (string, resolver, error) {
	if r, ok := resolvers[name]; ok {
		return name, r, nil
	}
	if name != "" {
		return "", resolver{}, fmt.Errorf("-type %q: want systemd-resolved or dnsmasq", name)
	}
	for _, name := range []string{"systemd-resolved", "dnsmasq"} {
		if _, err := os.Stat(filepath.Join(root, resolvers[name].sign)); err == nil {
			return name, resolvers[name], nil
		}
	}
	return "", resolver{}, errors.New("this host runs neither systemd-resolved nor dnsmasq as far as can be seen; name one of them with -type")
}

// writeResolverFile replaces a file whole. One that is somebody else's stays, unless force is set.
func writeResolverFile(f resolverFile, force bool) error {
	old, err := os.ReadFile(f.Path)
	switch {
	case err == nil && string(old) == f.Text:
		return nil
	case err == nil && !force && !strings.Contains(string(old), "`parley dns install`"):
		return fmt.Errorf("%s is there and was written by somebody else; move it away, or add -force", f.Path)
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err
	}
	return writeWhole(f.Path, f.Text, 0o644)
}

// dnsCheckResult is what a check found.
type dnsCheckResult struct {
	Name  string
	Agent []string // the addresses that the agent tells
	Host  []string // those that the host's resolver tells
	OK    bool
	Why   string
}

func dnsCheck(c *cli.Context) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	agent, domains, err := dnsFlags(c)
	if err != nil {
		return err
	}
	names := []string{c.String("name")}
	if names[0] == "" {
		names = nil
		for _, d := range domains {
			names = append(names, "consul.service."+d)
		}
	}
	var results []dnsCheckResult
	for _, name := range names {
		results = append(results, checkName(c, agent, strings.TrimSuffix(name, ".")))
	}
	err = show(c, results, func(w io.Writer) {
		for _, r := range results {
			fmt.Fprintf(w, "%s\n  agent:    %s\n  resolver: %s\n  %s\n", r.Name, orNothing(r.Agent), orNothing(r.Host), r.Why)
		}
	})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(results, func(r dnsCheckResult) bool { return !r.OK }) {
		return status(1)
	}
	return nil
}

func orNothing(addresses []string) string {
	if len(addresses) == 0 {
		return "-"
	}
	return strings.Join(addresses, ", ")
}

// checkName looks a name up both ways.
func checkName(c *cli.Context, agent netip.AddrPort, name string) dnsCheckResult {
	r := dnsCheckResult{Name: name}
	var err error
	if r.Agent, err = lookUp(c, agentResolver(agent), name); err != nil {
		r.Why = fmt.Sprintf("The agent does not answer for it at %s: %v. Is it running, and is that its DNS port?", agent, err)
		return r
	}
	if r.Host, err = lookUp(c, net.DefaultResolver, name); err != nil {
		r.Why = fmt.Sprintf("The host's resolver does not know it: %v. \"%s dns install\" shows what it lacks.", err, c.App.Name)
		return r
	}
	if !slices.ContainsFunc(r.Host, func(a string) bool { return slices.Contains(r.Agent, a) }) {
		r.Why = "The host's resolver tells other addresses than the agent: it asks somebody else."
		return r
	}
	r.OK, r.Why = true, "Programs on this host find it."
	return r
}

func lookUp(c *cli.Context, r *net.Resolver, name string) ([]string, error) {
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	found, err := r.LookupNetIP(ctx, "ip", name+".")
	if err != nil {
		var e *net.DNSError
		if errors.As(err, &e) {
			return nil, errors.New(e.Err)
		}
		return nil, err
	}
	var out []string
	for _, a := range found {
		out = append(out, a.Unmap().String())
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// agentResolver asks the agent alone, over TCP, so that its answers are whole.
func agentResolver(agent netip.AddrPort) *net.Resolver {
	return &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", agent.String())
	}}
}
