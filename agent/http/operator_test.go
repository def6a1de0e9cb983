package http_test

import (
	"fmt"
	"testing"

	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

func TestOperator(t *testing.T) {
	a := start(t)
	var c api.RaftConfiguration
	a.do("GET", "/v1/operator/raft/configuration").is(200, "").has("X-Consul-Index", "").json(&c)
	if len(c.Servers) != 1 || !c.Servers[0].Leader || c.Servers[0].ID != "s1" {
		t.Errorf("configuration: %+v", c)
	}
	a.do("GET", "/v1/operator/raft/configuration?stale").is(200, `"Voter":true`)
	a.do("GET", "/v1/operator/raft/configuration?dc=dc9").is(500, "No path to datacenter")
	a.do("PUT", "/v1/operator/raft/configuration").is(405, "method PUT not allowed").has("Allow", "OPTIONS,GET")
	a.do("DELETE", "/v1/operator/raft/peer").is(400, "Must specify either ?id")
	a.do("DELETE", "/v1/operator/raft/peer?id=x&address=y").is(400, "Must specify only one of")
	a.do("GET", "/v1/operator/raft/transfer-leader").is(405, "").has("Allow", "OPTIONS,POST")
	a.do("GET", "/v1/operator/area").is(404, "not a recognized HTTP API endpoint")
}

func TestAutopilot(t *testing.T) {
	a := start(t)
	path := "/v1/operator/autopilot/"
	a.do("PUT", path+"configuration", `{"CleanupDeadServers": false, "LastContactThreshold": "300ms"}`).is(200, "true")
	var c api.AutopilotConfiguration
	a.do("GET", path+"configuration").is(200, `"LastContactThreshold":"300ms"`).json(&c)
	if c.CleanupDeadServers || c.MaxTrailingLogs != 250 || c.ModifyIndex == 0 {
		t.Errorf("%+v", c)
	}
	a.do("PUT", path+"configuration?cas=1", `{}`).is(200, "false")
	a.do("PUT", path+fmt.Sprint("configuration?cas=", c.ModifyIndex), `{}`).is(200, "true")
	a.do("PUT", path+"configuration?cas=x", `{}`).is(400, "Error parsing cas value")
	a.do("PUT", path+"configuration", `{`).is(400, "Error parsing autopilot config")
	a.do("PUT", path+"configuration", `{"ServerStabilizationTime": "-1s"}`).is(400, "must not be negative")
	a.do("GET", path+"state").is(200, `"Leader":"s1"`)
	a.do("GET", path+"state?stale").is(200, `"Leader":"s1"`)
	a.do("GET", path+"health").is(200, `"SerfStatus":"alive"`)
	a.do("GET", "/v1/operator/usage").is(200, `"Usage":{"dc1":{"Nodes":`).has("X-Consul-Effective-Consistency", "leader")
}

func TestKeyring(t *testing.T) {
	a := start(t, func(o *agenthttp.Options) { o.Keyring = &ring{keys: map[string]int{"a": 1}} })
	a.do("GET", "/v1/operator/keyring").is(500, "1 error occurred:").is(500, `* dc2 (LAN) error: No path to datacenter`)
	a.do("GET", "/v1/operator/keyring?local-only").is(200, `[{"WAN":false,"Datacenter":"dc1","Segment":"","Keys":{"a":1},"PrimaryKeys":null,"NumNodes":1}]`)
	// What can be done is done, also while another datacenter is away.
	a.do("POST", "/v1/operator/keyring", `{"Key": "b"}`).is(500, "dc2")
	a.do("GET", "/v1/operator/keyring?relay-factor=5&local-only").is(200, `"b":1`)
	a.do("PUT", "/v1/operator/keyring", `{"Key": "c"}`).is(500, "3 errors occurred:\n\t* nobody knows it\n\t* nobody knows it\n\t* dc2")
	a.do("DELETE", "/v1/operator/keyring", `{"Key": "a"}`).is(500, "dc2")
	a.do("GET", "/v1/operator/keyring?local-only").is(200, `"Keys":{"b":1}`)
	a.do("POST", "/v1/operator/keyring", `{`).is(400, "Request decode failed")
	a.do("POST", "/v1/operator/keyring?local-only", `{"Key": "b"}`).is(400, "local-only")
	a.do("GET", "/v1/operator/keyring?relay-factor=9").is(400, "Relay factor must be in range")
	a.do("GET", "/v1/operator/keyring?relay-factor=x").is(400, "Error parsing relay factor")
}

// ring is the keys of a pool of one.
type ring struct{ keys map[string]int }

func (r *ring) Keyring(q verb.KeyringRequest) verb.KeyringReply {
	a := verb.KeyringReply{Response: api.KeyringResponse{WAN: q.WAN, Datacenter: "dc1", Keys: r.keys, NumNodes: 1}}
	switch q.Do {
	case verb.KeysInstall:
		r.keys[q.Key] = 1
	case verb.KeysRemove:
		delete(r.keys, q.Key)
	case verb.KeysUse:
		if r.keys[q.Key] == 0 {
			a.Errors = []string{"nobody knows it"}
		}
	}
	return a
}

func TestStatus(t *testing.T) {
	a := start(t)
	a.do("GET", "/v1/status/leader").is(200, `"127.0.0.1:8300"`).has("X-Consul-Index", "")
	a.do("GET", "/v1/status/peers").is(200, `["127.0.0.1:8300"]`)
	a.do("GET", "/v1/status/peers?dc=dc9").is(500, "No path to datacenter")

	lost := start(t, func(o *agenthttp.Options) { o.Client = empty{} })
	lost.do("GET", "/v1/status/leader").is(200, `""`)
	lost.do("GET", "/v1/status/peers").is(200, `[]`)
	lost.do("GET", "/v1/operator/raft/configuration").is(503, "still starting")
}
