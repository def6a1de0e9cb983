package ca

import (
	"crypto/x509"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/codec"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// apply carries out a command as it comes out of the log.
func apply[C verb.Command](t *testing.T, s *state.Store, index uint64, c C) (any, error) {
	t.Helper()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	data, err := codec.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	var logged C
	if err := codec.Decode(data, &logged); err != nil {
		t.Fatal(err)
	}
	tx := s.Write()
	defer tx.Abort()
	tx.At(api.Tenant{}, index)
	v, err := logged.Apply(tx)
	if err != nil && tx.Wrote() {
		t.Errorf("%s failed after it had written", c.CommandType())
	}
	if err == nil {
		tx.Commit()
	}
	return v, err
}

// read returns the one row of a query, through its JSON.
func read[T any](t *testing.T, s *state.Store, q verb.Query) (T, error) {
	t.Helper()
	var out T
	if err := q.Validate(); err != nil {
		return out, err
	}
	rows, err := q.Read(s.Read())
	if err != nil {
		return out, err
	}
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	data, err := rows[0].JSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out, nil
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// installed returns a state with a certificate authority.
func installed(t *testing.T) (*state.Store, *Install) {
	t.Helper()
	s := state.New()
	first := must[*Install](t)(First(s.Read(), "consul", "dc1", time.Now()))
	if did := must[any](t)(apply(t, s, 7, *first)); did != true {
		t.Fatalf("installed: %v", did)
	}
	return s, first
}

func TestFirstRoot(t *testing.T) {
	s := state.New()
	if got := must[api.CARoots](t)(read[api.CARoots](t, s, Roots{})); got.Roots == nil || len(got.Roots) != 0 {
		t.Errorf("before: %+v", got)
	}
	if _, err := read[api.CAConfiguration](t, s, Configuration{}); err == nil {
		t.Error("a configuration before there is one")
	}
	s, first := installed(t)
	roots := must[api.CARoots](t)(read[api.CARoots](t, s, Roots{}))
	if len(roots.Roots) != 1 || roots.ActiveRootID != first.Root.Public.ID || roots.TrustDomain != first.ClusterID+".consul" {
		t.Fatalf("%+v", roots)
	}
	r := roots.Roots[0]
	if !r.Active || r.PrivateKeyType != "ec" || r.PrivateKeyBits != 256 || r.CreateIndex != 7 || r.SerialNumber != 1 || r.ExternalTrustDomain != first.ClusterID {
		t.Errorf("%+v", r)
	}
	config := must[api.CAConfiguration](t)(read[api.CAConfiguration](t, s, Configuration{}))
	want := map[string]any{"LeafCertTTL": "72h", "IntermediateCertTTL": "8760h", "RootCertTTL": "87600h"}
	if config.Provider != "consul" || !maps.Equal(config.Config, want) || config.ModifyIndex != 7 {
		t.Errorf("%+v", config)
	}
	// The key stays on the servers.
	for _, q := range []verb.Query{Roots{}, Configuration{}} {
		rows, err := q.Read(s.Read())
		if err != nil {
			t.Fatal(err)
		}
		if data, _ := rows[0].JSON(); strings.Contains(string(data), "PRIVATE KEY") {
			t.Errorf("%s tells the key", q.QueryType())
		}
	}
	// A second leader has nothing to do, and would do nothing if it did it.
	if again, err := First(s.Read(), "consul", "dc1", time.Now()); again != nil || err != nil {
		t.Errorf("%+v, %v", again, err)
	}
	other := must[*Install](t)(First(state.New().Read(), "consul", "dc1", time.Now()))
	if did := must[any](t)(apply(t, s, 8, *other)); did != false {
		t.Errorf("installed twice: %v", did)
	}
	if after := must[api.CARoots](t)(read[api.CARoots](t, s, Roots{})); after.ActiveRootID != roots.ActiveRootID || len(after.Roots) != 1 {
		t.Errorf("%+v", after)
	}
	other.Root.PrivateKey = first.Root.PrivateKey
	if _, err := apply(t, state.New(), 9, *other); api.StatusOf(err) != 400 {
		t.Errorf("a key that is not the certificate's: %v", err)
	}
}

func TestSignAsQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, first := installed(t)
		td := first.Root.TrustDomain
		web := ServiceID(td, "dc1", "web")
		csr, _, err := NewCSR(web)
		if err != nil {
			t.Fatal(err)
		}
		leaf := must[api.Leaf](t)(read[api.Leaf](t, s, Sign{csr}))
		if leaf.Service != "web" || leaf.ServiceURI != web.String() || leaf.PrivateKeyPEM != "" {
			t.Errorf("%+v", leaf)
		}
		if got := time.Until(leaf.ValidBefore); got != 72*time.Hour {
			t.Errorf("it lasts %s", got)
		}
		cert, err := ParseCertificate(leaf.CertPEM)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(first.Root.Public.RootCert))
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			t.Error(err)
		}
		if needs := (Sign{csr}).Needs(); len(needs) != 1 || needs[0] != (api.Permission{Resource: "service", Name: "web", Access: api.Write}) {
			t.Errorf("%+v", needs)
		}
		other := web
		other.Namespace = "prod"
		for _, c := range []struct {
			id   ID
			text string
		}{
			{ServiceID("11111111-2222-3333-4444-555555555555.consul", "dc1", "web"), "this CA vouches for"},
			{ServiceID(td, "dc2", "web"), `signs for the datacenter "dc1"`},
			{other, "default"},
			{ID{Kind: Signing, TrustDomain: td}, "only services and agents"},
		} {
			csr, _, err := NewCSR(c.id)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := read[api.Leaf](t, s, Sign{csr}); api.StatusOf(err) != 400 || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %v", c.id, err)
			}
		}
		for _, text := range []string{"", "rubbish", strings.Replace(csr, "A", "B", 1)} {
			if _, err := read[api.Leaf](t, s, Sign{text}); api.StatusOf(err) != 400 {
				t.Errorf("%.20q: %v", text, err)
			}
		}
		if _, err := read[api.Leaf](t, state.New(), Sign{csr}); api.StatusOf(err) != 500 {
			t.Errorf("without a root: %v", err)
		}
		agent, _, err := NewCSR(AgentID(td, "dc1", "node-1"))
		if err != nil {
			t.Fatal(err)
		}
		if needs := (Sign{agent}).Needs(); needs[0].Resource != "node" || needs[0].Name != "node-1" {
			t.Errorf("%+v", needs)
		}
		// Near the end of the root a leaf ends with it.
		time.Sleep(87600*time.Hour - time.Hour)
		if leaf := must[api.Leaf](t)(read[api.Leaf](t, s, Sign{csr})); !leaf.ValidBefore.Equal(first.Root.Public.NotAfter) {
			t.Errorf("it ends at %s, the root at %s", leaf.ValidBefore, first.Root.Public.NotAfter)
		}
		time.Sleep(2 * time.Hour)
		if _, err := read[api.Leaf](t, s, Sign{csr}); err == nil || !strings.Contains(err.Error(), "ended") {
			t.Errorf("under a root that has ended: %v", err)
		}
	})
}

// Two certificate authorities in one process do not sign for one another.
func TestSignersAreNotMixedUp(t *testing.T) {
	a, first := installed(t)
	b, second := installed(t)
	for range 3 {
		for s, i := range map[*state.Store]*Install{a: first, b: second} {
			csr, _, err := NewCSR(ServiceID(i.Root.TrustDomain, "dc1", "web"))
			if err != nil {
				t.Fatal(err)
			}
			leaf := must[api.Leaf](t)(read[api.Leaf](t, s, Sign{csr}))
			cert, err1 := ParseCertificate(leaf.CertPEM)
			root, err2 := ParseCertificate(i.Root.Public.RootCert)
			if err1 != nil || err2 != nil || cert.CheckSignatureFrom(root) != nil {
				t.Errorf("signed by another: %v, %v", err1, err2)
			}
		}
	}
}

func TestSetConfiguration(t *testing.T) {
	s, first := installed(t)
	set := func(config map[string]any) error {
		_, err := apply(t, s, 20, SetConfiguration{api.CAConfiguration{Provider: "consul", Config: config}})
		return err
	}
	if err := set(map[string]any{"LeafCertTTL": "36h", "IntermediateCertTTL": "9000h", "RootCertTTL": "90000h"}); err != nil {
		t.Fatal(err)
	}
	config := must[api.CAConfiguration](t)(read[api.CAConfiguration](t, s, Configuration{}))
	if config.Config["LeafCertTTL"] != "36h" || config.Config["RootCertTTL"] != "90000h" || config.CreateIndex != 7 || config.ModifyIndex != 20 {
		t.Errorf("%+v", config)
	}
	csr, _, err := NewCSR(ServiceID(first.Root.TrustDomain, "dc1", "web"))
	if err != nil {
		t.Fatal(err)
	}
	if got := time.Until(must[api.Leaf](t)(read[api.Leaf](t, s, Sign{csr})).ValidBefore); got > 36*time.Hour || got < 35*time.Hour {
		t.Errorf("a leaf lasts %s", got)
	}
	// What says the same as it is changes nothing, and what is left out has its default again.
	if err := set(map[string]any{"PrivateKeyType": "ec", "PrivateKeyBits": float64(256), "LeafCertTTL": float64(48 * time.Hour), "PrivateKey": ""}); err != nil {
		t.Error(err)
	}
	if config := must[api.CAConfiguration](t)(read[api.CAConfiguration](t, s, Configuration{})); config.Config["RootCertTTL"] != "87600h" {
		t.Errorf("%+v", config)
	}
	for _, c := range []struct {
		provider string
		config   map[string]any
		status   int
		text     string
	}{
		{"bogus", nil, 500, `could not initialize provider: unknown CA provider "bogus"`},
		{"", nil, 500, `could not initialize provider: unknown CA provider ""`},
		{"consul", map[string]any{"LeafCertTTL": "1m"}, 500, "error configuring provider: leaf cert TTL must be greater or equal than 1h0m0s"},
		{"consul", map[string]any{"LeafCertTTL": "9999h"}, 500, "error configuring provider: leaf cert TTL must be less or equal than 8760h0m0s"},
		{"consul", map[string]any{"LeafCertTTL": "soon"}, 500, `error configuring provider: LeafCertTTL: time: invalid duration "soon"`},
		{"consul", map[string]any{"LeafCertTTL": []any{"72h"}}, 500, `error configuring provider: LeafCertTTL: [72h] is no length of time, write it as "72h"`},
		{"consul", map[string]any{"RootCertTTL": "100h"}, 500, "error configuring provider: RootCertTTL (100h0m0s) must be greater than IntermediateCertTTL (8760h0m0s)"},
		{"consul", map[string]any{"PrivateKeyType": "rsa"}, 400, "Config.PrivateKeyType asks for another root certificate, and this release cannot rotate to one: nothing was changed. Leave it out"},
		{"consul", map[string]any{"PrivateKeyBits": 384.0}, 400, "Config.PrivateKeyBits asks for another"},
		{"consul", map[string]any{"PrivateKey": "-----BEGIN"}, 400, "Config.PrivateKey asks for another"},
		{"consul", map[string]any{"LeafCertTtl": "72h"}, 400, `Config.LeafCertTtl is no setting of the provider "consul"`},
	} {
		before := must[api.CAConfiguration](t)(read[api.CAConfiguration](t, s, Configuration{}))
		_, err := apply(t, s, 30, SetConfiguration{api.CAConfiguration{Provider: c.provider, Config: c.config}})
		if api.StatusOf(err) != c.status || !strings.HasPrefix(err.Error(), c.text) {
			t.Errorf("%v: %v", c.config, err)
		}
		if after := must[api.CAConfiguration](t)(read[api.CAConfiguration](t, s, Configuration{})); after.ModifyIndex != before.ModifyIndex {
			t.Errorf("%v has changed something", c.config)
		}
	}
	if _, err := apply(t, state.New(), 1, SetConfiguration{DefaultConfiguration()}); api.StatusOf(err) != 500 {
		t.Errorf("without a CA: %v", err)
	}
}
