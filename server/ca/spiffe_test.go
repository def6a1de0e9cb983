package ca

import (
	"strings"
	"testing"
)

const td = "11111111-2222-3333-4444-555555555555.consul"

func TestIDsAreWrittenAndRead(t *testing.T) {
	for text, id := range map[string]ID{
		"spiffe://" + td: {Kind: Signing, TrustDomain: td},
		"spiffe://" + td + "/ns/default/dc/dc1/svc/web":    ServiceID(td, "dc1", "web"),
		"spiffe://" + td + "/ns/team/dc/dc1/svc/web":       {Kind: Service, TrustDomain: td, Namespace: "team", Datacenter: "dc1", Name: "web"},
		"spiffe://" + td + "/agent/client/dc/dc1/id/node1": AgentID(td, "dc1", "node1"),
		"spiffe://" + td + "/ap/p1/ns/team/dc/dc1/svc/web": {Kind: Service, TrustDomain: td, Partition: "p1", Namespace: "team", Datacenter: "dc1", Name: "web"},
		"spiffe://" + td + "/ns/default/dc/dc1/svc/a%2Fb":  ServiceID(td, "dc1", "a/b"),
	} {
		if got := id.String(); got != text {
			t.Errorf("%+v is written %s, want %s", id, got, text)
		}
		if got, err := ParseID(text); err != nil || got != id {
			t.Errorf("%s is read as %+v (%v), want %+v", text, got, err, id)
		}
	}
	upper, err := ParseID("spiffe://" + strings.ToUpper(td) + "/ns/default/dc/dc1/svc/web")
	if err != nil || upper != ServiceID(td, "dc1", "web") {
		t.Errorf("a trust domain in upper case: %+v, %v", upper, err)
	}
}

func TestOtherTextsAreNoID(t *testing.T) {
	for _, text := range []string{
		"", "web", "http://x", "spiffe://", "spiffe:///ns/default/dc/dc1/svc/web", "spiffe://" + td + "/",
		"spiffe://" + td + "/ns/default/dc/dc1/svc/", "spiffe://" + td + "/ns/default/dc//svc/web",
		"spiffe://" + td + "/ns/default/dc/dc1/svc/web/x", "spiffe://" + td + "/ns/default/dc/dc1/svc/web?x=1",
		"spiffe://" + td + "/ns/default/dc/dc1/svc/web#x", "spiffe://u@" + td + "/ns/default/dc/dc1/svc/web",
		"spiffe://" + td + ":80/ns/default/dc/dc1/svc/web", "spiffe://" + td + "/ns/default/dc/dc1/svc/%zz",
		"spiffe://" + td + "/ns/default/dc/dc1/svc/" + strings.Repeat("x", maxID),
	} {
		if id, err := ParseID(text); err == nil {
			t.Errorf("%q is read as %+v", text, id)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("spiffe://" + td + "/ns/default/dc/dc1/svc/web")
	f.Add("spiffe://" + td + "/ap/p/agent/client/dc/dc1/id/n%20n")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseID(text)
		if err != nil {
			return
		}
		again, err := ParseID(id.String())
		if err != nil || again != id {
			t.Fatalf("%q is read as %+v, whose text %q is read as %+v (%v)", text, id, id, again, err)
		}
	})
}
