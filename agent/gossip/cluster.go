package gossip

import (
	"fmt"

	"github.com/hashicorp/memberlist"
)

// NoCluster is what a server says that belongs to no cluster yet.
const NoCluster = "none"

// oneCluster judges whether the servers of a datacenter that join, or are joined, belong to the cluster that is here already. Two
// clusters in one pool would answer for one another: agents ask any server of their pool.
func (a *admission) oneCluster(nodes []*memberlist.Node) error {
	v := a.view.Load()
	if v == nil || a.remembered(v, nodes) {
		return nil
	}
	ours := v.clusters()
	for _, n := range nodes {
		if n.State != memberlist.StateAlive && n.State != memberlist.StateSuspect {
			continue
		}
		tags, err := decodeMeta(n.Meta)
		if err != nil {
			continue // it has been judged
		}
		dc, cluster := tags[tagDC], tags[tagCluster]
		known := ours[dc]
		if tags[tagServer] != "1" || cluster == "" || cluster == NoCluster || len(known) == 0 || known[cluster] != "" {
			continue
		}
		for other, server := range known {
			return fmt.Errorf("server %q is of cluster %s of datacenter %q, and %q is of cluster %s: two clusters of one datacenter do not become one; "+
				"stop the agents of one and remove their data directories to have them join the other, or give it a datacenter of its own",
				n.Name, cluster, dc, server, other)
		}
	}
	return nil
}

// remembered tells whether one of the two pools knows somebody of the other. Then they are one that was parted, and what cluster
// its servers are of may have changed meanwhile: the state of another was restored.
func (a *admission) remembered(v *view, nodes []*memberlist.Node) bool {
	for _, n := range nodes {
		tags, err := decodeMeta(n.Meta)
		if err != nil {
			continue
		}
		id := tags[tagID]
		if n.Name == a.name && id == a.id {
			return true
		}
		if m := v.ids[id]; m != nil && m.Name == n.Name {
			return true
		}
	}
	return false
}

// clusters are those of the servers that are here, by datacenter, each with the name of one of its servers.
func (v *view) clusters() map[string]map[string]string {
	out := map[string]map[string]string{}
	for i := range v.members {
		m := &v.members[i]
		if !m.Server || !m.live() || m.Cluster == "" || m.Cluster == NoCluster {
			continue
		}
		if out[m.Datacenter] == nil {
			out[m.Datacenter] = map[string]string{}
		}
		out[m.Datacenter][m.Cluster] = m.Name
	}
	return out
}
