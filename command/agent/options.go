package agent

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"strings"

	"github.com/parleymesh/parley/agent/config"
	"github.com/parleymesh/parley/agent/dns"
	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/proxy/snapshot"
	"github.com/parleymesh/parley/server"
	"github.com/parleymesh/parley/server/acl"
)

// This file turns the one Config into the options of the parts.

func (a *Agent) dnsOptions() dns.Options {
	return dns.Options{
		Client: a.client, Node: a.cfg.NodeName, Datacenter: a.cfg.Datacenter, Domain: a.cfg.Domain, AltDomain: a.cfg.AltDomain,
		Config: dnsConfig(a.cfg), Logger: a.log,
	}
}

func dnsConfig(c *config.Config) dns.Config {
	d := c.DNSConfig
	return dns.Config{
		AllowStale: d.AllowStale, MaxStale: d.MaxStale, NodeTTL: d.NodeTTL, ServiceTTL: d.ServiceTTL,
		EnableTruncate: d.EnableTruncate, OnlyPassing: d.OnlyPassing, DisableCompression: d.DisableCompression,
		UDPAnswerLimit: d.UDPAnswerLimit, ARecordLimit: d.ARecordLimit, EnableAdditionalNodeMetaTXT: d.EnableAdditionalNodeMetaTXT,
		Recursors: withPorts(c.Recursors), RandomRecursor: d.RecursorStrategy == "random", RecursorTimeout: d.RecursorTimeout,
		TranslateWAN: c.TranslateWANAddrs,
		SOA:          dns.SOA{Refresh: d.SOA.Refresh, Retry: d.SOA.Retry, Expire: d.SOA.Expire, MinTTL: d.SOA.MinTTL},
	}
}

// withPorts adds to DNS servers the port that they are asked at unless it is said.
func withPorts(servers []string) []string {
	var out []string
	for _, s := range servers {
		if _, _, err := net.SplitHostPort(s); err != nil {
			s = net.JoinHostPort(strings.Trim(s, "[]"), "53")
		}
		out = append(out, s)
	}
	return out
}

func (a *Agent) httpOptions() agenthttp.Options {
	c := a.cfg
	return agenthttp.Options{
		Node: c.NodeName, Datacenter: c.Datacenter,
		Client: a.client, Authorizer: acl.Open{}, Members: pools{a.gossip, a.wan}, Keyring: pools{a.gossip, a.wan}, Local: a.local, Leaves: a.leaves,
		Proxies: snapshot.Publisher{Source: hurrying{a.source, a.local}}, Self: a.self, Version: a.version(), Leave: a.askToLeave, Reload: a.reload,
		Metrics: a.metrics, Prometheus: a.metrics.Prometheus(), Monitor: a.opts.logs.Follow, Events: a.events, Snapshots: a.snapshots,
		DefaultACLPolicy: c.ACL.DefaultPolicy, Headers: c.HTTPConfig.ResponseHeaders,
		AllowWriteFrom: prefixes(c.HTTPConfig.AllowWriteHTTPFrom), BlockEndpoints: c.HTTPConfig.BlockEndpoints,
		Debug: c.EnableDebug, MaxValue: c.Limits.KVMaxValueSize, MaxTxn: c.Limits.TxnMaxReqLen, MinSessionTTL: c.SessionTTLMin, MaxHeader: c.HTTPConfig.MaxHeaderBytes,
		DefaultWait: c.DefaultQueryTime, MaxWait: c.MaxQueryTime,
		MaxBlockingPerClient: int64(cmp.Or(c.Limits.HTTPMaxBlockingPerClient, agenthttp.DefaultMaxBlocking)),
		MaxConnsPerClient:    c.Limits.HTTPMaxConnsPerClient, DiscoveryMaxStale: c.DiscoveryMaxStale, TranslateWANAddrs: c.TranslateWANAddrs, DataDir: a.dataPath(), Logger: a.log,
	}
}

// raftLogs is how a server keeps its log.
func raftLogs(c *config.Config) server.RaftLogs {
	return server.RaftLogs{
		SnapshotThreshold: uint64(c.RaftSnapshotThreshold), SnapshotInterval: c.RaftSnapshotInterval, Trailing: uint64(c.RaftTrailingLogs),
		WithoutPreVote: c.RaftPrevoteDisabled,
	}
}

// firstEntries are those of a new mesh. They are kept in the primary datacenter.
func firstEntries(c *config.Config) []api.ConfigEntry {
	if c.PrimaryDatacenter != c.Datacenter {
		return nil
	}
	return c.ConfigEntries.Entries
}

// autopilot is how a new cluster's leader looks after the servers.
func autopilot(c config.Autopilot) api.AutopilotConfiguration {
	return api.AutopilotConfiguration{
		CleanupDeadServers: c.CleanupDeadServers, LastContactThreshold: api.Duration(c.LastContactThreshold),
		MaxTrailingLogs: uint64(c.MaxTrailingLogs), MinQuorum: uint(c.MinQuorum), ServerStabilizationTime: api.Duration(c.ServerStabilizationTime),
		RedundancyZoneTag: c.RedundancyZoneTag, DisableUpgradeMigration: c.DisableUpgradeMigration, UpgradeVersionTag: c.UpgradeVersionTag,
	}
}

// prefixes reads networks that the configuration has checked.
func prefixes(texts []string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func (a *Agent) version() agenthttp.Version {
	b := a.opts.Build
	return agenthttp.Version{SHA: b.Commit, BuildDate: b.Date.Format("2006-01-02T15:04:05Z07:00"), HumanVersion: b.Version}
}

// askToLeave leaves, and has the agent stop once the request is answered. That the client goes away changes nothing.
func (a *Agent) askToLeave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	var err error
	a.leave.Do(func() {
		a.log.Info("leaving, as asked through the API")
		err = a.Leave(ctx)
		close(a.leaving)
	})
	return err
}
