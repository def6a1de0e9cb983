package http_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/agent/event"
	agenthttp "github.com/parleymesh/parley/agent/http"
	"github.com/parleymesh/parley/api"
)

// hears gives an agent events that only it hears.
func hears(o *agenthttp.Options) {
	var log *event.Log
	log = event.New(event.Options{
		Node: "node-1", Services: func() []event.Service { return nil }, Logger: slog.New(slog.DiscardHandler),
		Broadcast: func(data []byte) error { log.Receive(1, data); return nil },
	})
	o.Events = log
}

func TestEvents(t *testing.T) {
	a := start(t, hears)
	a.do("GET", "/v1/event/list").is(200, "[]").has("X-Consul-Index", "1").has("X-Consul-KnownLeader", "")
	var fired api.UserEvent
	a.do("PUT", "/v1/event/fire/deploy?node=n.*", "text").is(200, `"Payload":"dGV4dA=="`).json(&fired)
	a.do("PUT", "/v1/event/fire/secret", "text").is(403, "event:write")
	a.do("PUT", "/v1/event/fire/secret?token=root", "text").is(200, "")
	a.do("PUT", "/v1/event/fire/elsewhere?node=other").is(200, "")
	a.do("PUT", "/v1/event/fire/x?dc=dc1").is(200, "")
	for path, want := range map[string]string{
		"":                "400 Missing name",
		"x?tag=t":         "500 Cannot provide tag filter",
		"x?service=(":     "500 Invalid service filter",
		"x?dc=dc9":        "500 No path to datacenter",
		"x?token=bogus":   "403 ACL not found",
		"x?namespace=two": "200 ",
		"x?ns=two":        "400 ",
	} {
		a.do("PUT", "/v1/event/fire/"+path).want(want)
	}
	a.do("PUT", "/v1/event/fire/x", strings.Repeat("x", 600)).is(500, "user event exceeds configured limit of 512 bytes")
	a.do("PUT", "/v1/event/fire/x", strings.Repeat("x", 65<<10)).is(413, "too large")

	var all []api.UserEvent
	list := a.do("GET", "/v1/event/list").is(200, fired.ID).json(&all)
	if len(all) != 3 || all[0].LTime != 1 || slices.ContainsFunc(all, func(e api.UserEvent) bool { return e.Name == "secret" || e.Name == "elsewhere" }) {
		t.Errorf("the list is %+v", all)
	}
	if list.index() != event.Index(all) {
		t.Errorf("the index is %d, that of the last event %d", list.index(), event.Index(all))
	}
	a.do("GET", "/v1/event/list?name=deploy").is(200, fired.ID)
	a.do("GET", "/v1/event/list?name=none").is(200, "[]").has("X-Consul-Index", "1")
	a.do("GET", "/v1/event/list?index=x").is(400, "Invalid index")
}

func TestEventsAreWaitedFor(t *testing.T) {
	a := start(t, hears)
	a.do("PUT", "/v1/event/fire/a").is(200, "")
	first := a.do("GET", "/v1/event/list?name=a")
	at := fmt.Sprintf("/v1/event/list?name=a&index=%d", first.index())

	a.do("GET", at+"&wait=10ms").is(200, `"Name":"a"`).has("X-Consul-Index", fmt.Sprint(first.index()))

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	woken := make(chan answer, 1)
	go func() {
		got, err := a.try(ctx, "GET", at+"&wait=1m")
		if err != nil {
			t.Error(err)
		}
		woken <- got
	}()
	a.do("PUT", "/v1/event/fire/b").is(200, "") // of no interest
	a.do("PUT", "/v1/event/fire/a", "again").is(200, "")
	if got := <-woken; strings.Count(got.body, `"Name":"a"`) != 2 || strings.Contains(got.body, `"Name":"b"`) {
		t.Errorf("woken with %s", got.body)
	}
	a.do("GET", "/v1/event/list?index=7").is(200, `"Name":"b"`) // another event than the last
}
