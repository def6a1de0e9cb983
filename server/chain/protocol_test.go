package chain

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestProtocol(t *testing.T) {
	proxy := func(protocol any) *api.ProxyDefaults {
		return &api.ProxyDefaults{Config: map[string]any{"protocol": protocol}}
	}
	for _, c := range []struct {
		service *api.ServiceDefaults
		proxy   *api.ProxyDefaults
		want    string
	}{
		{nil, nil, "tcp"},
		{&api.ServiceDefaults{}, &api.ProxyDefaults{}, "tcp"},
		{nil, proxy("http"), "http"},
		{&api.ServiceDefaults{}, proxy("http"), "http"},
		{&api.ServiceDefaults{Protocol: "grpc"}, proxy("http"), "grpc"},
		{&api.ServiceDefaults{Protocol: "tcp"}, proxy("http"), "tcp"},
		{nil, proxy(7), "tcp"},
		{nil, proxy(""), "tcp"},
	} {
		if got := Protocol(c.service, c.proxy); got != c.want {
			t.Errorf("%+v, %+v: got %q, want %q", c.service, c.proxy, got, c.want)
		}
	}
}

func TestCheckPermissions(t *testing.T) {
	plain := &api.ServiceIntentions{Name: "web", Sources: []api.SourceIntention{{Name: "a", Action: "allow"}}}
	requests := &api.ServiceIntentions{Name: "web", Sources: []api.SourceIntention{{Name: "a", Permissions: []api.IntentionPermission{{}}}}}
	for _, protocol := range HTTPProtocols {
		if err := CheckPermissions(requests, protocol); err != nil {
			t.Error(err)
		}
	}
	for _, e := range []*api.ServiceIntentions{nil, plain} {
		if err := CheckPermissions(e, "tcp"); err != nil {
			t.Error(err)
		}
	}
	if err := CheckPermissions(requests, "tcp"); api.StatusOf(err) != 500 {
		t.Errorf("got %v", err)
	}
}
