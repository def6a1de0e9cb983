package event

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is an agent that hears what it tells itself.
type host struct {
	*Log
	told     [][]byte
	services []Service
	refuse   error
}

func newHost() *host {
	h := &host{}
	h.Log = New(Options{
		Node: "node-1", Services: func() []Service { return h.services }, Logger: slog.New(slog.DiscardHandler),
		Broadcast: func(data []byte) error {
			if h.refuse != nil {
				return h.refuse
			}
			h.told = append(h.told, data)
			h.Receive(uint64(len(h.told)), data)
			return nil
		},
	})
	return h
}

func (h *host) fire(t *testing.T, e api.UserEvent) api.UserEvent {
	t.Helper()
	fired, err := h.Fire(e)
	if err != nil {
		t.Fatal(err)
	}
	return fired
}

func names(events []api.UserEvent) string {
	var out []string
	for _, e := range events {
		out = append(out, e.Name)
	}
	return strings.Join(out, " ")
}

func TestFireAndList(t *testing.T) {
	h := newHost()
	empty, changed := h.List("")
	if len(empty) != 0 || empty == nil || Index(empty) != NoEvent {
		t.Errorf("at first there is %v with index %d", empty, Index(empty))
	}
	fired := h.fire(t, api.UserEvent{Name: "a", Payload: []byte("x"), ID: "mine", LTime: 7})
	select {
	case <-changed:
	default:
		t.Error("nobody is woken")
	}
	if fired.ID == "mine" || fired.LTime != 0 || fired.Version != 1 {
		t.Errorf("fired %+v", fired)
	}
	h.fire(t, api.UserEvent{Name: "b", Payload: []byte{}})
	all, _ := h.List("")
	if names(all) != "a b" || all[0].LTime != 1 || all[1].LTime != 2 || all[1].Payload != nil || string(all[0].Payload) != "x" {
		t.Errorf("events %+v", all)
	}
	if one, _ := h.List("a"); names(one) != "a" || Index(one) == Index(all) {
		t.Errorf("events called a: %+v", one)
	}
}

// TestIndex has a value that clients compute: the exclusive or of the halves of the id.
func TestIndex(t *testing.T) {
	got := Index([]api.UserEvent{{}, {ID: "00000000-0000-000f-0000-0000000000ff"}})
	if got != 0xf0 {
		t.Errorf("%x", got)
	}
}

func TestToldTwice(t *testing.T) {
	h := newHost()
	h.fire(t, api.UserEvent{Name: "a"})
	_, changed := h.List("")
	h.Receive(9, h.told[0])
	if all, _ := h.List(""); len(all) != 1 {
		t.Errorf("%d events", len(all))
	}
	select {
	case <-changed:
		t.Error("woken by nothing new")
	default:
	}
}

func TestOldestIsForgotten(t *testing.T) {
	h := newHost()
	for i := range Kept + 3 {
		h.fire(t, api.UserEvent{Name: fmt.Sprint(i)})
	}
	all, _ := h.List("")
	if len(all) != Kept || all[0].Name != "3" || all[Kept-1].Name != fmt.Sprint(Kept+2) {
		t.Errorf("%d events, from %s to %s", len(all), all[0].Name, all[len(all)-1].Name)
	}
}

func TestFilters(t *testing.T) {
	web := []Service{{"web", []string{"v1", "prod"}}, {"db", nil}}
	for _, c := range []struct {
		node, service, tag string
		services           []Service
		want               bool
	}{
		{want: true},
		{node: "node-.", want: true},
		{node: "^node$"},
		{service: "w.b", services: web, want: true},
		{service: "web"},
		{service: "web", tag: "v[12]", services: web, want: true},
		{service: "db", tag: "v1", services: web}, // the tag is that of another service
		{node: "other", service: "web", services: web},
	} {
		h := newHost()
		h.services = c.services
		h.fire(t, api.UserEvent{Name: "x", NodeFilter: c.node, ServiceFilter: c.service, TagFilter: c.tag})
		if all, _ := h.List(""); (len(all) == 1) != c.want {
			t.Errorf("%+v: %d events", c, len(all))
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		event  api.UserEvent
		status int
		want   string
	}{
		{api.UserEvent{}, 400, "Missing name"},
		{api.UserEvent{Name: "x", NodeFilter: "("}, 500, "Invalid node filter: error parsing regexp: missing closing"},
		{api.UserEvent{Name: "x", ServiceFilter: "[", TagFilter: "t"}, 500, "Invalid service filter"},
		{api.UserEvent{Name: "x", TagFilter: "t"}, 500, "Cannot provide tag filter without service filter"},
		{api.UserEvent{Name: "x", Payload: bytes.Repeat([]byte("p"), MaxSize)}, 500, "user event exceeds configured limit of 512 bytes before encoding"},
	} {
		h := newHost()
		_, err := h.Fire(c.event)
		if err == nil || api.StatusOf(err) != c.status || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.event, err)
		}
		if len(h.told) != 0 {
			t.Errorf("%+v was told", c.event)
		}
	}
	h := newHost()
	h.refuse = errors.New("no")
	if _, err := h.Fire(api.UserEvent{Name: "x"}); !errors.Is(err, h.refuse) {
		t.Errorf("without gossip: %v", err)
	}
}

// The largest event must fit what gossip carries.
func TestLargest(t *testing.T) {
	h := newHost()
	h.fire(t, api.UserEvent{Name: "x", Payload: bytes.Repeat([]byte{0xff}, MaxSize-5), NodeFilter: ".", ServiceFilter: ".", TagFilter: ".."})
	if n := len(h.told[0]); n > MaxSize+64 {
		t.Errorf("it takes %d bytes on its way", n)
	}
}

// FuzzReceive takes whatever the network brings: nothing of it must do harm, and what is kept could have been fired.
func FuzzReceive(f *testing.F) {
	h := newHost()
	for _, e := range []api.UserEvent{{Name: "a"}, {Name: "b", Payload: []byte("x"), NodeFilter: "n.*", ServiceFilter: "web", TagFilter: "v"}} {
		if _, err := h.Fire(e); err != nil {
			f.Fatal(err)
		}
	}
	for _, data := range h.told {
		f.Add(data)
	}
	f.Add([]byte("\x81\xa1f\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h := newHost()
		h.services = []Service{{"web", []string{"v"}}}
		h.Receive(1, data)
		all, _ := h.List("")
		for _, e := range all {
			if err := validate(&e); err != nil {
				t.Errorf("%+v is kept: %v", e, err)
			}
			Index(all)
		}
	})
}
