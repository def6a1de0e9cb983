package api

import (
	"context"
	"net/http"
	"net/url"
)

// Event groups the calls about user events.
type Event struct{ c *Client }

// Event returns the calls about user events.
func (c *Client) Event() Event { return Event{c} }

// Fire tells the event, of which the name, the payload and the filters count, and returns it with its id.
func (e Event) Fire(ctx context.Context, event UserEvent, w *WriteOptions) (UserEvent, error) {
	params := url.Values{}
	setIf(params, "node", event.NodeFilter)
	setIf(params, "service", event.ServiceFilter)
	setIf(params, "tag", event.TagFilter)
	var fired UserEvent
	err := e.c.write(ctx, http.MethodPut, "/v1/event/fire/"+url.PathEscape(event.Name), w, params, append([]byte{}, event.Payload...), &fired)
	return fired, err
}

// List returns the last events that the agent has heard of, the oldest first: those of a name or, when it is empty, all. The
// index, to wait for the next one, does not grow: it only differs from event to event.
func (e Event) List(ctx context.Context, name string, q *QueryOptions) ([]UserEvent, Meta, error) {
	params := url.Values{}
	setIf(params, "name", name)
	return read[[]UserEvent](ctx, e.c, "/v1/event/list", q, params)
}
