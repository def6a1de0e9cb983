package http

import (
	"net/http"
	"strconv"

	"github.com/parleymesh/parley/agent/event"
	"github.com/parleymesh/parley/api"
	servers "github.com/parleymesh/parley/server/event"
)

// Events is the user events of this agent.
type Events interface {
	// Fire tells an event to all agents and returns it with its id. The error has a status.
	Fire(e api.UserEvent) (api.UserEvent, error)
	// List returns the last events of a name, or of all when it is empty, the oldest first, and a channel that is closed
	// when there is a new one.
	List(name string) (events []api.UserEvent, changed <-chan struct{})
}

var eventRoutes = []route{
	on("/v1/event/fire/", put(eventFire)),
	on("/v1/event/list", get(eventList)),
}

// maxEventBody bounds what is read of an event. Of that, far less can be told, and the refusal says how much.
const maxEventBody = 64 << 10

func eventFire(r *request) (any, error) {
	if r.name == "" {
		return nil, api.Errorf(http.StatusBadRequest, "Missing name")
	}
	if err := r.need("event", r.name, api.Write); err != nil {
		return nil, err
	}
	payload, err := r.body(maxEventBody)
	if err != nil {
		return nil, err
	}
	e := api.UserEvent{
		Name: r.name, Payload: payload,
		NodeFilter: r.param("node"), ServiceFilter: r.param("service"), TagFilter: r.param("tag"),
	}
	if dc := r.param("dc"); dc == "" || dc == r.s.opts.Datacenter {
		return orError(r.s.opts.Events.Fire(e))
	}
	result, err := r.apply(servers.Fire{Event: e})
	if err == nil {
		err = result.Decode(&e)
	}
	return orError(e, err)
}

// eventList lists what this agent has heard of. With ?index it waits until the last event is another one: the index says
// which one it is, not how many there were.
func eventList(r *request) (any, error) {
	o, err := r.reading()
	if err != nil {
		return nil, err
	}
	ctx, stop, err := r.patience(o.MinIndex > 0)
	if err != nil {
		return nil, err
	}
	defer stop()
	for {
		events, changed := r.s.opts.Events.List(r.param("name"))
		if events, err = r.readable(events); err != nil {
			return nil, err
		}
		index := event.Index(events)
		again := o.MinIndex > 0 && index == o.MinIndex
		if again {
			if again, err = r.s.until(ctx, changed); err != nil {
				return nil, err
			}
		}
		if !again {
			r.w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
			return events, nil
		}
	}
}

// readable leaves out the events that the token may not see.
func (r *request) readable(events []api.UserEvent) ([]api.UserEvent, error) {
	shown := events[:0]
	for _, e := range events {
		ok, err := r.may("event", e.Name, api.Read)
		if err != nil {
			return nil, err
		}
		if ok {
			shown = append(shown, e)
		}
	}
	return shown, nil
}
