package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func whyCommand() *cli.Command {
	return &cli.Command{
		Name: "why", Usage: "tell who registered an instance, and what will remove it", ArgsUsage: "SERVICE_ID",
		Flags: clientFlags(
			&cli.StringFlag{Name: "node", Usage: "only the instance of this node"},
			formatFlag(),
		),
		Action: withClient(catalogWhy),
	}
}

// reason is why an instance is in the catalog.
type reason struct {
	ID, Service, Node, Address string
	Status                     string // of its checks and its node's, the worst of them
	RegisteredBy               string
	Created, Changed           uint64 // the indexes
	RemovedBy                  []string
}

func catalogWhy(c *cli.Context, client *api.Client) error {
	if c.NArg() == 0 {
		return complain("Missing SERVICE_ID argument")
	}
	if err := takes(c, 1, 1); err != nil {
		return err
	}
	id := c.Args().First()
	found, err := instancesOf(c.Context, client, id, c.String("node"), query(c))
	if err != nil {
		return failed(err, "looking for %q", id)
	}
	if len(found) == 0 {
		return fmt.Errorf("no instance of the id %q is in the catalog; the id is the service's name unless it was registered with another", id)
	}
	members, _, err := client.Agent().Members(c.Context, false, query(c))
	if err != nil {
		return failed(err, "listing members")
	}
	reasons := make([]reason, 0, len(found))
	for _, e := range found {
		reasons = append(reasons, why(e, members))
	}
	return show(c, reasons, func(w io.Writer) {
		for i, r := range reasons {
			if i > 0 {
				fmt.Fprintln(w)
			}
			r.tell(w)
		}
	})
}

// instancesOf finds the instances of an id. The catalog is kept by name, and an id mostly is or begins with the name: the names that do
// are asked for first.
func instancesOf(ctx context.Context, client *api.Client, id, node string, q *api.QueryOptions) (out []api.ServiceEntry, err error) {
	services, _, err := client.Catalog().Services(ctx, q)
	if err != nil {
		return nil, err
	}
	var near, others []string
	for name := range services {
		if strings.HasPrefix(id, name) {
			near = append(near, name)
		} else {
			others = append(others, name)
		}
	}
	only := *q
	only.Filter = "Service.ID == " + strconv.Quote(id)
	if node != "" {
		only.Filter += " and Node.Node == " + strconv.Quote(node)
	}
	for _, names := range [][]string{near, others} {
		for _, name := range names {
			found, _, err := client.Health().Service(ctx, name, nil, false, &only)
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		}
		if len(out) > 0 {
			break
		}
	}
	slices.SortFunc(out, func(a, b api.ServiceEntry) int { return strings.Compare(a.Node.Node, b.Node.Node) })
	return out, nil
}

// why tells why an instance is there, by what the catalog and gossip know. An agent keeps its node's instances as they are registered
// with it; what stands on a node without an agent was written into the catalog, and nobody looks after it.
func why(e api.ServiceEntry, members []api.Member) reason {
	r := reason{
		ID: e.Service.ID, Service: e.Service.Service, Node: e.Node.Node, Address: e.Node.Address, Status: api.Passing,
		Created: e.Service.CreateIndex, Changed: e.Service.ModifyIndex,
	}
	managed := false
	for _, c := range e.Checks {
		managed = managed || c.CheckID == api.SerfHealth
		r.Status = worse(r.Status, c.Status)
	}
	at := slices.IndexFunc(members, func(m api.Member) bool { return m.Name == e.Node.Node })
	removal := fmt.Sprintf("services deregister -id=%s at the agent of %s", r.ID, r.Node)
	switch {
	case r.ID == "consul" && r.Service == "consul":
		r.RegisteredBy = "the leader: every server is listed as this service"
		removal = "the server's leaving, or its removal by autopilot"
	case at < 0 && !managed:
		r.RegisteredBy = fmt.Sprintf("a write to the catalog (PUT /v1/catalog/register): no agent runs under the name %s, and nobody keeps it current", r.Node)
		removal = "PUT /v1/catalog/deregister, and nothing else"
	case at < 0:
		r.RegisteredBy = fmt.Sprintf("the agent of %s, which gossip does not know any more", r.Node)
		removal = "the leader, within a minute: the agent is gone"
	default:
		m := members[at]
		kind := "client agent"
		if m.Tags["role"] == "consul" {
			kind = "server"
		}
		r.RegisteredBy = fmt.Sprintf("the agent of %s (%s, %s), by its files or its API; it writes it anew if somebody else changes it", r.Node, kind, m.Status)
		if m.Status == api.MemberFailed {
			removal = "the leader, once the failed agent is given up (reconnect_timeout, 72h by default); force-leave does so at once"
		}
	}
	if p := e.Service.Proxy; e.Service.Kind == api.KindConnectProxy && p != nil && p.DestinationServiceID != "" && at >= 0 {
		r.RegisteredBy += fmt.Sprintf("; it is the sidecar of %s", p.DestinationServiceID)
	}
	r.RemovedBy = append(r.RemovedBy, removal)
	if at >= 0 && r.Service != "consul" && members[at].Status != api.MemberFailed {
		r.RemovedBy = append(r.RemovedBy, r.Node+"'s leaving the pool, or its having failed for reconnect_timeout (72h by default)")
	}
	// How an agent runs a check is its own affair: the catalog knows the check's status alone.
	if at >= 0 && slices.ContainsFunc(e.Checks, func(c api.Check) bool { return c.ServiceID == r.ID }) {
		r.RemovedBy = append(r.RemovedBy, "that agent, when a check of it that has deregister_critical_service_after is critical for so long")
	}
	return r
}

func (r reason) tell(w io.Writer) {
	fmt.Fprintf(w, "%s (service %s) on %s (%s) is %s\n", r.ID, r.Service, r.Node, r.Address, r.Status)
	rows := [][]string{
		{"  registered by", r.RegisteredBy},
		{"  index", fmt.Sprintf("created at %d, changed at %d", r.Created, r.Changed)},
	}
	for i, by := range r.RemovedBy {
		title := "  removed by"
		if i > 0 {
			title = "  or by"
		}
		rows = append(rows, []string{title, by})
	}
	columns(w, 2, rows)
}

// worse returns the one of two statuses that counts.
func worse(a, b string) string {
	order := []string{api.Passing, api.Warning, api.Critical}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}
