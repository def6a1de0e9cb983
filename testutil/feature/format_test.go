package feature

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// unformatted are the commands without -format, and why.
var unformatted = map[string]string{
	"agent": "runs", "lock": "runs a program", "monitor": "has no end", "connect proxy": "runs", "connect envoy": "runs Envoy, or prints its file",
	"completion": "prints a script", "snapshot decode": "prints a row a line, in JSON already", "connect envoy pipe-bootstrap": "is called by connect envoy alone",
}

// leaves walks the pages of help and returns each command that does something, with its flags.
func leaves(a *testutil.Agent, path ...string) map[string]string {
	page := a.Must(append(slices.Clone(path), "-help")...)
	usage, _, _ := strings.Cut(page, "\n")
	if !strings.HasSuffix(usage, " <command>") {
		return map[string]string{strings.Join(path, " "): page}
	}
	all := map[string]string{}
	listing := false
	for line := range strings.Lines(page) {
		if strings.HasSuffix(line, ":\n") && !strings.HasPrefix(line, " ") {
			listing = !strings.HasPrefix(line, "Flags")
		}
		if fields := strings.Fields(line); listing && strings.HasPrefix(line, "  ") && len(fields) > 0 {
			for name, page := range leaves(a, append(slices.Clone(path), fields[0])...) {
				all[name] = page
			}
		}
	}
	return all
}

// TestFormatJSON has every command that tells something tell it to a program, by a real agent. A new command needs a line here.
func TestFormatJSON(t *testing.T) {
	key := "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
	a := testutil.New(t, "dev", "-dev", "-encrypt="+key, "-hcl=disable_remote_exec = false")
	a.Start()
	a.WaitLeader()
	place := &api.Coordinate{Vec: make([]float64, api.CoordinateSize), Error: 1, Height: 1e-5}
	if err := a.API.Coordinate().Update(t.Context(), api.CoordinateEntry{Node: "dev", Coord: place}, nil); err != nil {
		t.Fatal(err)
	}
	testutil.Eventually(t, "the node's coordinate", func(ctx context.Context) error {
		found, _, err := a.API.Coordinate().Node(ctx, "dev", nil)
		if err == nil && len(found) == 0 {
			err = errors.New("none yet")
		}
		return err
	})
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"web.json": `{"service":{"name":"web","port":80,"connect":{"sidecar_service":{}}}}`, "entry.hcl": `Kind = "service-defaults"` + "\n" + `Name = "web"`,
		"good.hcl": `data_dir = "/tmp"`, "ca.json": `{"Provider":"consul","Config":{"LeafCertTTL":"48h"}}`, "empty": `[]`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The lines in their order, and the exit status where it is not 0.
	lines := []struct {
		command, rest, has string
		code               int
	}{
		{"services register", "web.json", `"ID": "web"`, 0},
		{"services deregister", "-id none", "", 1},
		{"services deregister", "web.json", `"ID": "web"`, 0},
		{"services register", "web.json", `"Service": "web"`, 0},
		{"catalog why", "web", `"RegisteredBy"`, 0},
		{"catalog why", "none", "", 1},
		{"catalog services", "", `"consul": []`, 0},
		{"catalog services", "-tags -node dev", `"consul"`, 0},
		{"catalog nodes", "", `"Node": "dev"`, 0},
		{"catalog nodes", "-service none", `[]`, 0},
		{"catalog datacenters", "", `"dc1"`, 0},
		{"dns install", "-type dnsmasq", `"Path": "/etc/dnsmasq.d/parley.conf"`, 0},
		{"dns check", "-timeout 2s -dns-addr " + a.DNSAddr(), `"Agent"`, 1},
		{"maint", "-enable -reason busy", `"Enabled": true`, 0},
		{"maint", "", `"_node_maintenance"`, 0},
		{"maint", "-disable", `"Enabled": false`, 0},
		{"maint", "", `{}`, 0},
		{"intention list", "", `[]`, 0},
		{"intention create", "web db", `"SourceName": "web"`, 0},
		{"intention create", "web db", "", 1},
		{"intention list", "", `"DestinationName": "db"`, 0},
		{"intention get", "web db", `"Action": "allow"`, 0},
		{"intention match", "db", `"SourceName": "web"`, 0},
		{"intention check", "web db", `"Allowed": true`, 0},
		{"intention check", "other db", `"Allowed": false`, 1},
		{"intention delete", "web db", `"Deleted": true`, 0},
		{"intention delete", "web db", `"Deleted": false`, 0},
		{"connect ca get-config", "", `"Provider"`, 0},
		{"connect ca set-config", "-config-file ca.json", `"Provider"`, 0},
		{"config write", "entry.hcl", `"Kind": "service-defaults"`, 0},
		{"config list", "-kind service-defaults", `"Name": "web"`, 0},
		{"config read", "-kind service-defaults -name web", `"Name": "web"`, 0},
		{"config delete", "-kind service-defaults -name web", `"Name": "web"`, 0},
		{"config list", "-kind service-defaults", `[]`, 0},
		{"apply", "-f entry.hcl", `"Action": "create"`, 0},
		{"apply", "-f entry.hcl", `"Changes": []`, 0},
		{"kv put", "a/b 1", `"Key": "a/b"`, 0},
		{"kv get", "a/b", `"Value": "MQ=="`, 0},
		{"kv get", "-keys a/", `"a/b"`, 0},
		{"kv get", "-recurse a/", `"Key": "a/b"`, 0},
		{"kv get", "-recurse none/", `[]`, 0},
		{"kv get", "none", "", 1},
		{"kv export", "a/", `"key": "a/b"`, 0},
		{"kv import", `[{"key":"c","flags":7,"value":"MQ=="}] -prefix a`, `"Key": "a/c"`, 0},
		{"kv import", "@empty", `[]`, 0},
		{"kv delete", "-recurse a/", `"Prefix": "a/"`, 0},
		{"event", "-name deploy x", `"Name": "deploy"`, 0},
		{"exec", "-node nobody -wait 200ms true", `[]`, 1},
		{"exec", "echo hi", `"Output": "hi\n"`, 0},
		{"watch", "-type key -key none", "null", 0},
		{"members", "", `"Name": "dev"`, 0},
		{"members", "-status failed", `[]`, 2},
		{"rtt", "dev dev", `"RTT"`, 0},
		{"join", a.SerfAddr(), `"Joined": true`, 0},
		{"join", "127.0.0.1:1", `"Joined": false`, 1},
		{"force-leave", "none", "", 1},
		{"operator raft list-peers", "", `"Leader": true`, 0},
		{"operator raft remove-peer", "-id none", "", 1},
		{"operator raft transfer-leader", "", "", 1},
		{"operator autopilot get-config", "", `"CleanupDeadServers": true`, 0},
		{"operator autopilot set-config", "-min-quorum 1", `"MinQuorum": 1`, 0},
		{"operator autopilot state", "", `"Healthy": true`, 0},
		{"operator recover", "-data-dir .", "", 1},
		{"operator usage instances", "", `"BillableServiceInstances"`, 0},
		{"keyring", "-list", key, 0},
		{"keyring", "-install NQ0FkmcKnZvTQjQzPN4hZ4mBJ3YNXPyAv5IkSGKsUsk=", `"Success": true`, 0},
		{"snapshot save", "s.snap", `"File": "s.snap"`, 0},
		{"snapshot inspect", "s.snap", `"Meta"`, 0},
		{"snapshot restore", "s.snap", `"File": "s.snap"`, 0},
		{"info", "", `"raft"`, 0},
		{"debug", "-duration 1s -capture members -output d", `"File": "d.tar.gz"`, 0},
		{"reload", "", `"Reloaded": true`, 0},
		{"validate", "good.hcl", `"Valid": true`, 0},
		{"validate", "web.hcl", "", 1},
		{"keygen", "", `"Key"`, 0},
		{"tls ca create", "", `"Certificate": "consul-agent-ca.pem"`, 0},
		{"tls cert create", "-server", `"Key": "dc1-server-consul-0-key.pem"`, 0},
		{"version", "", `"Version"`, 0},
		{"leave", "", `"Left": true`, 0},
	}
	all := leaves(a)
	if len(all) < 50 {
		t.Fatalf("only %d commands are found", len(all))
	}
	tried := map[string]bool{}
	for _, l := range lines {
		tried[l.command] = true
		args := append(strings.Fields(l.command), "--format=json")
		out, errs, code := a.Run(append(args, strings.Fields(l.rest)...)...)
		line := l.command + " " + l.rest
		if code != l.code || !strings.Contains(out, l.has) {
			t.Errorf("%s: exit status %d, want %d with %q\n%s%s", line, code, l.code, l.has, out, errs)
		}
		if n, err := values(out); err != nil || n != 1 && (code == 0 || n != 0) {
			t.Errorf("%s: %d JSON values, %v\n%s", line, n, err, out)
		}
		if code == 1 && errs == "" && l.has == "" {
			t.Errorf("%s: nothing says why it failed", line)
		}
	}
	for name, page := range all {
		has := strings.Contains(page, "\n  -format=...")
		switch why := unformatted[name]; {
		case why != "" && has:
			t.Errorf("%s has -format, though it %s", name, why)
		case why == "" && !has:
			t.Errorf("%s has no -format", name)
		case why == "" && !tried[name]:
			t.Errorf("%s -format=json is not tried: add a line", name)
		}
		if why := unformatted[name]; why != "" || name == "leave" {
			continue
		}
		if _, errs, code := a.Run(append(strings.Fields(name), "-format=xml")...); code != 1 || !strings.Contains(errs, "-format=xml is unknown") {
			t.Errorf("%s -format=xml: %d, %q", name, code, errs)
		}
	}
}

// values counts the JSON values of a text.
func values(text string) (n int, err error) {
	dec := json.NewDecoder(strings.NewReader(text))
	for {
		var v any
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n++
	}
}
