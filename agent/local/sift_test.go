package local_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/parleymesh/parley/agent/local"
	"github.com/parleymesh/parley/api"
)

func TestADefinitionThatIsRefusedIsLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o, log := options(nil), &bytes.Buffer{}
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
		o.Server = true
		h := start(t, o)
		var defs []api.ServiceDefinition
		for _, text := range []string{
			`{"name": "ok", "port": 80, "check": {"ttl": "1h"}}`,
			`{"name": "script", "check": {"args": ["/bin/true"], "interval": "10s"}}`,
			`{"name": "twice"}`, `{"name": "twice", "port": 2}`,
			`{"name": "px", "kind": "connect-proxy"}`, `{"name": "consul"}`,
			`{"name": "zone", "locality": {"zone": "z"}}`,
			// The service itself is right, and its sidecar is not: neither is there, and nothing of it is in the way.
			`{"name": "half", "check": {"check_id": "c", "ttl": "1h"}, "connect": {"sidecar_service": {"kind": "mesh-gateway"}}}`,
			`{"name": "whole", "check": {"check_id": "c", "ttl": "1h"}, "connect": {"sidecar_service": {}}}`,
		} {
			defs = append(defs, *serviceDef(t, text))
		}
		checks := []api.CheckDefinition{
			*checkDef(t, `{"id": "of-ok", "service_id": "ok", "ttl": "1h"}`), *checkDef(t, `{"id": "of-none", "service_id": "none", "ttl": "1h"}`),
			*checkDef(t, `{"id": "tcp", "tcp": "nowhere", "interval": "1s"}`),
		}
		if err := h.LoadDefinitions(defs, checks); err != nil {
			t.Fatal(err)
		}
		h.is("ok twice whole whole-sidecar-proxy | c=critical of-ok=critical service:ok=critical service:whole-sidecar-proxy:1=critical service:whole-sidecar-proxy:2=critical")
		want := []string{"script", "defined twice", "px", "consul", "Locality.Region", "half", "of-none", "tcp"}
		for _, part := range want {
			if !strings.Contains(log.String(), part) {
				t.Errorf("the log does not say what is wrong with %s:\n%s", part, log)
			}
		}
		if n := strings.Count(log.String(), "refused and left out"); n != len(want) {
			t.Errorf("%d definitions are refused, want %d:\n%s", n, len(want), log)
		}
		// Only the check of a service that may be there otherwise is not told beforehand.
		refused := local.Refused(o, defs, checks)
		if len(refused) != len(want)-1 {
			t.Errorf("refused are %v", refused)
		}
		// A reload is all or nothing.
		if err := h.Reload(defs, checks); err == nil {
			t.Error("a reload with a definition that is wrong is taken")
		}
	})
}
