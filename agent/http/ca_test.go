package http_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/ca"
	"github.com/parleymesh/parley/server/verb"
)

// installCA gives the mesh a certificate authority with a new root, as the first leader does.
func (a *agent) installCA() {
	a.t.Helper()
	const cluster = "0b0c5ad0-3c5f-4ae8-8a1c-6ab7d2b2f4c7"
	root, err := ca.NewRoot(ca.RootOptions{ClusterID: cluster, Domain: "consul", Serial: 1, Validity: 24 * 365 * 10 * time.Hour, Now: time.Now()})
	if err != nil {
		a.t.Fatal(err)
	}
	install := ca.Install{ClusterID: cluster, Datacenter: "dc1", Root: root, Config: ca.DefaultConfiguration()}
	if _, err := a.core.Apply(context.Background(), verb.Options{Token: "root"}, install); err != nil {
		a.t.Fatal(err)
	}
}

func TestCA(t *testing.T) {
	a := start(t)
	a.do("GET", "/v1/connect/ca/configuration").is(500, "there is no certificate authority yet")
	before := a.do("GET", "/v1/connect/ca/roots").is(200, `"Roots":[]`).index()
	woken := a.later(fmt.Sprintf("/v1/agent/connect/ca/roots?index=%d&wait=10s", before))
	waitFor(t, func() bool { return a.api.Waiting() == 1 })
	a.installCA()
	(<-woken).is(200, "BEGIN CERTIFICATE")

	for _, path := range []string{"/v1/connect/ca/roots", "/v1/agent/connect/ca/roots"} {
		var roots api.CARoots
		got := a.do("GET", path).is(200, "").has("X-Consul-KnownLeader", "true").json(&roots)
		if len(roots.Roots) != 1 || !roots.Roots[0].Active || roots.ActiveRootID != roots.Roots[0].ID || got.index() == 0 {
			t.Errorf("%s: %+v", path, roots)
		}
		if strings.Contains(got.body, "PRIVATE KEY") {
			t.Errorf("%s shows a private key", path)
		}
		pem := a.do("GET", path+"?pem=true").is(200, "BEGIN CERTIFICATE").has("Content-Type", "application/pem-certificate-chain").has("X-Consul-Index", "")
		if pem.body != roots.Roots[0].RootCert {
			t.Errorf("%s?pem: %q", path, pem.body)
		}
	}
	a.do("GET", "/v1/connect/ca/roots?pem=perhaps").is(400, "pem")

	a.do("GET", "/v1/connect/ca/configuration").is(200, `"LeafCertTTL":"72h"`).has("X-Consul-Index", "")
	for body, want := range map[string]string{
		`{`:                                 "400 Request decode failed: unexpected EOF",
		`{}`:                                `500 unknown CA provider ""`,
		`{"Provider": "bogus"}`:             `500 unknown CA provider "bogus"`,
		`{"Provider": "consul", "Conf": 1}`: `400 "Conf"`,
		`{"Provider": "consul", "Config": {"LeafCertTTL": "1m"}}`: "500 leaf cert TTL must be greater or equal than 1h0m0s",
	} {
		a.do("PUT", "/v1/connect/ca/configuration", body).want(want)
	}
	a.do("PUT", "/v1/connect/ca/configuration", `{"Provider": "consul", "Config": {"LeafCertTTL": "36h"}}`).is(200, "")
	a.do("GET", "/v1/connect/ca/configuration").is(200, `"LeafCertTTL":"36h"`)
	a.do("DELETE", "/v1/connect/ca/configuration").is(405, "method DELETE not allowed").has("Allow", "OPTIONS,GET,PUT")
}
