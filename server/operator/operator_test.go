package operator

import (
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
	"github.com/parleymesh/parley/testutil/nounstore"
)

func TestAutopilot(t *testing.T) {
	s := nounstore.New()
	if _, err := (Autopilot{}).Read(s.State.Read()); err == nil {
		t.Error("a configuration before the first leader")
	}
	first := FirstAutopilot(s.State.Read(), api.DefaultAutopilot())
	if did := nounstore.Do[bool](t, s, first); !did {
		t.Fatal("the first was not written")
	}
	if did := nounstore.Do[bool](t, s, first); did {
		t.Error("the first was written over another")
	}
	if again := FirstAutopilot(s.State.Read(), api.AutopilotConfiguration{}); again != nil {
		t.Errorf("a second first: %+v", again)
	}
	c := nounstore.Values[*api.AutopilotConfiguration](t, s, Autopilot{})[0]
	if want := api.DefaultAutopilot(); c.MaxTrailingLogs != want.MaxTrailingLogs || c.ServerStabilizationTime != want.ServerStabilizationTime || c.CreateIndex != nounstore.First {
		t.Errorf("%+v", c)
	}
	next := *c
	next.MinQuorum = 3
	wrong := next.ModifyIndex + 1
	if nounstore.Do[bool](t, s, SetAutopilot{Config: next, CAS: &wrong}) {
		t.Error("written with a wrong index")
	}
	if !nounstore.Do[bool](t, s, SetAutopilot{Config: next, CAS: &next.ModifyIndex}) || !nounstore.Do[bool](t, s, SetAutopilot{Config: next}) {
		t.Error("not written")
	}
	now := nounstore.Values[*api.AutopilotConfiguration](t, s, Autopilot{})[0]
	if now.MinQuorum != 3 || now.CreateIndex != c.CreateIndex || now.ModifyIndex <= c.ModifyIndex {
		t.Errorf("%+v", now)
	}
	nounstore.Same(t, s, s.Reloaded(t), Autopilot{})
	if err := (SetAutopilot{Config: api.AutopilotConfiguration{ServerStabilizationTime: -1}}).Validate(); api.StatusOf(err) != 400 {
		t.Errorf("a negative time: %v", err)
	}
}

func TestActionsNameOneServer(t *testing.T) {
	for _, c := range []struct {
		r  RemovePeer
		ok bool
	}{{RemovePeer{}, false}, {RemovePeer{"x", "y"}, false}, {RemovePeer{ID: "x"}, true}, {RemovePeer{Address: "y"}, true}} {
		if err := c.r.Validate(); (err == nil) != c.ok || err != nil && api.StatusOf(err) != 400 {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
}

func TestUsage(t *testing.T) {
	s := nounstore.New()
	for _, r := range []struct {
		node    string
		service *api.Service
	}{
		{"n1", &api.Service{Service: "consul", Port: 8300}},
		{"n1", &api.Service{Service: "web", Port: 80}},
		{"n2", &api.Service{Service: "Web", Port: 80}},
		{"n2", &api.Service{Service: "native", Port: 81, Connect: &api.Connect{Native: true}}},
		{"n2", &api.Service{Kind: api.KindConnectProxy, Service: "web-sidecar-proxy", Port: 82, Proxy: &api.Proxy{DestinationServiceName: "web"}}},
		{"n3", nil},
	} {
		nounstore.Do[any](t, s, &catalog.Register{Registration: api.Registration{Node: r.node, Address: "10.0.0.1", Service: r.service}})
	}
	u := nounstore.Values[*api.ServiceUsage](t, s, Usage{})[0]
	if u.Nodes != 3 || u.Services != 4 || u.ServiceInstances != 5 || u.BillableServiceInstances != 3 ||
		u.ConnectServiceInstances["connect-native"] != 1 || u.ConnectServiceInstances[api.KindConnectProxy] != 1 || len(u.ConnectServiceInstances) != 6 {
		t.Errorf("%+v", u)
	}
}
