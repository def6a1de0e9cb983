package command

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
)

// source is where the values of a flag or an argument come from. The zero one knows none.
type source struct {
	fixed []string
	files bool
	live  func(asked) []string // what the agent knows; whatever keeps it from answering, there is nothing to offer
}

// asked is what a source is asked with.
type asked struct {
	*position
	ctx    context.Context
	client *api.Client
	q      *api.QueryOptions
	begun  string
}

var (
	aFile    = source{files: true}
	aKey     = source{live: keysBeneath}
	aService = source{live: serviceNames}
	aNode    = source{live: nodeNames}
	anID     = source{live: serviceIDs}
	aLevel   = source{fixed: []string{"trace", "debug", "info", "warn", "error"}}
	aStatus  = source{fixed: []string{"any", api.Passing, api.Warning, api.Critical}}
)

// flagSources are the values of flags: of one command's where the command stands before the flag, or else of every command's.
var flagSources = map[string]source{
	"format":     {fixed: []string{"pretty", "table", "json"}},
	"service":    aService,
	"node":       aNode,
	"near":       {live: func(a asked) []string { return append(nodeNames(a), "_agent") }},
	"datacenter": {live: datacenterNames},
	"session":    {live: sessionIDs},
	"log-level":  aLevel,

	"services deregister id": anID, "maint service": anID, "connect envoy sidecar-for": anID, "connect envoy proxy-id": anID,
	"connect proxy sidecar-for": anID, "connect proxy proxy-id": anID,
	"operator raft remove-peer id": {live: serverIDs}, "operator raft transfer-leader id": {live: serverIDs},
	"config read name": {live: entryNames}, "config delete name": {live: entryNames},
	"kind": {fixed: api.EntryKinds()}, "services register kind": {},
	"kv import prefix": aKey, "watch prefix": aKey, "watch key": aKey, "watch state": aStatus,
	"watch type":                    {fixed: []string{"key", "keyprefix", "services", "nodes", "service", "checks", "event", "connect_roots", "connect_leaf", "agent_service"}},
	"members status":                {fixed: []string{"alive", "leaving", "left", "failed"}},
	"dns install type":              {fixed: []string{"systemd-resolved", "dnsmasq"}},
	"config-format":                 {fixed: []string{"hcl", "json"}},
	"snapshot save append-filename": {fixed: []string{"version", "dc", "node", "status"}},
	"keyring use":                   {live: gossipKeys}, "keyring remove": {live: gossipKeys},

	"token-file": aFile, "ca-file": aFile, "ca-path": aFile, "client-cert": aFile, "client-key": aFile, "config-file": aFile, "config-dir": aFile,
	"data-dir": aFile, "log-file": aFile, "pid-file": aFile, "script": aFile, "root": aFile, "ca": aFile, "tls cert create key": aFile,
}

func sourceOfFlag(path, flag string) source {
	if s, ok := flagSources[path+" "+flag]; ok {
		return s
	}
	return flagSources[flag]
}

// argumentSources are what commands call their arguments, in ArgsUsage.
var argumentSources = map[string]source{
	"KEY": aKey, "PREFIX": aKey, "SERVICE": aService, "NODE": aNode, "FILE": aFile, "DIRECTORY": aFile,
	"@FILE": {live: filesAfterAt}, "SOURCE": {live: intentionSources}, "DESTINATION": {live: intentionDestinations},
}

// sourcesOfArgument reads ArgsUsage: "KEY [VALUE|@FILE|-]" says that the second argument may be in a file. A word in lower case stands for
// itself; the last one is for all that follow if it has dots behind it.
func sourcesOfArgument(usage string, n int) (all []source) {
	first, _, _ := strings.Cut(usage, " | ")
	words := strings.Fields(first)
	if len(words) == 0 {
		return nil
	}
	if n >= len(words) {
		if !strings.HasSuffix(words[len(words)-1], "...") {
			return nil
		}
		n = len(words) - 1
	}
	for name := range strings.SplitSeq(strings.Trim(words[n], "[]."), "|") {
		s, ok := argumentSources[name]
		if !ok && name == strings.ToLower(name) && name != "-" {
			s, ok = source{fixed: []string{name}}, true
		}
		if ok {
			all = append(all, s)
		}
	}
	return all
}

// keysBeneath returns the keys that begin so, up to the next slash.
func keysBeneath(a asked) []string {
	names, _, err := a.client.KV().Keys(a.ctx, strings.TrimPrefix(a.begun, "/"), "/", a.q)
	if err != nil {
		return nil
	}
	return names
}

func serviceNames(a asked) []string {
	all, _, err := a.client.Catalog().Services(a.ctx, a.q)
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(all))
}

func nodeNames(a asked) (names []string) {
	all, _, err := a.client.Catalog().Nodes(a.ctx, a.q)
	if err != nil {
		return nil
	}
	for _, n := range all {
		names = append(names, n.Node)
	}
	return names
}

// serviceIDs are those on the agent's host.
func serviceIDs(a asked) []string {
	all, _, err := a.client.Agent().Services(a.ctx, nil)
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(all))
}

func datacenterNames(a asked) []string {
	all, _, err := a.client.Catalog().Datacenters(a.ctx, nil)
	if err != nil {
		return nil
	}
	return all
}

func sessionIDs(a asked) (ids []string) {
	all, _, err := a.client.Sessions().List(a.ctx, a.q)
	if err != nil {
		return nil
	}
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	return ids
}

func serverIDs(a asked) (ids []string) {
	raft, _, err := a.client.Operator().RaftConfiguration(a.ctx, a.q)
	if err != nil {
		return nil
	}
	for _, s := range raft.Servers {
		ids = append(ids, s.ID)
	}
	return ids
}

func gossipKeys(a asked) []string {
	all, err := a.client.Operator().Keys(a.ctx, 0, nil)
	if err != nil {
		return nil
	}
	known := map[string]int{}
	for _, r := range all {
		maps.Copy(known, r.Keys)
	}
	return slices.Sorted(maps.Keys(known))
}

func entryNames(a asked) (names []string) {
	if a.given["kind"] == "" {
		return nil
	}
	all, _, err := a.client.ConfigEntries().List(a.ctx, a.given["kind"], a.q)
	if err != nil {
		return nil
	}
	for _, e := range all {
		names = append(names, e.EntryName())
	}
	return names
}

// intentionSources are the sources of the intentions that there are or, for what needs none, services.
func intentionSources(a asked) []string {
	return intentionNames(a, func(x *api.Intention) (string, bool) { return intentionName(x.SourceNS, x.SourceName), true })
}

func intentionDestinations(a asked) []string {
	return intentionNames(a, func(x *api.Intention) (string, bool) {
		return intentionName(x.DestinationNS, x.DestinationName), intentionName(x.SourceNS, x.SourceName) == a.args[0]
	})
}

func intentionNames(a asked, name func(*api.Intention) (string, bool)) (names []string) {
	if a.path != "intention get" && a.path != "intention delete" {
		return append(serviceNames(a), api.Wildcard)
	}
	all, _, err := a.client.Intentions().List(a.ctx, a.q)
	if err != nil {
		return nil
	}
	for _, x := range all {
		if text, ok := name(&x); ok {
			names = append(names, text)
		}
	}
	return names
}

// fileNames lists the files whose path begins so; a directory ends with a slash, so that one can go on.
func fileNames(begun string) (all []candidate) {
	dir, name := filepath.Split(begun)
	look := dir
	if look == "" {
		look = "."
	}
	entries, err := os.ReadDir(look)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), name) || strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(name, ".") {
			continue
		}
		path := dir + e.Name()
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			path += "/"
		}
		all = append(all, candidate{text: path})
	}
	return all
}

// filesAfterAt lists files once an @ is there.
func filesAfterAt(a asked) (names []string) {
	begun, ok := strings.CutPrefix(a.begun, "@")
	if !ok {
		return nil
	}
	for _, f := range fileNames(begun) {
		names = append(names, "@"+f.text)
	}
	return names
}
