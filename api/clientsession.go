package api

import (
	"context"
	"net/http"
	"net/url"
)

// Sessions groups the calls that concern sessions, by which keys are locked.
type Sessions struct{ c *Client }

// Sessions returns the calls that concern sessions.
func (c *Client) Sessions() Sessions { return Sessions{c} }

// Create makes a session and returns its id. All of s may be left empty: the session is then the agent's node's, ends with its
// serfHealth, has no time to live, and keeps its keys from being locked for 15 seconds when it ends. For a session without any
// check NodeChecks is empty, but not nil; for one without any delay LockDelay is negative.
func (s Sessions) Create(ctx context.Context, want *Session, w *WriteOptions) (id string, err error) {
	body := map[string]any{}
	for name, value := range map[string]string{"Name": want.Name, "Node": want.Node, "Behavior": want.Behavior, "TTL": want.TTL} {
		if value != "" {
			body[name] = value
		}
	}
	if want.LockDelay != 0 {
		body["LockDelay"] = max(want.LockDelay, 0).String()
	}
	if want.NodeChecks != nil {
		body["NodeChecks"] = want.NodeChecks
	}
	if want.ServiceChecks != nil {
		body["ServiceChecks"] = want.ServiceChecks
	}
	var made struct{ ID string }
	err = s.c.write(ctx, http.MethodPut, "/v1/session/create", w, nil, body, &made)
	return made.ID, err
}

// Renew gives a session its whole time to live from now on, and returns it; nil when it is gone.
func (s Sessions) Renew(ctx context.Context, id string, w *WriteOptions) (*Session, error) {
	var found []Session
	err := s.c.write(ctx, http.MethodPut, sessionPath("renew", id), w, nil, nil, &found)
	if err != nil || len(found) == 0 {
		return nil, orAbsent(err)
	}
	return &found[0], nil
}

// Destroy ends a session. It is no error if it is gone.
func (s Sessions) Destroy(ctx context.Context, id string, w *WriteOptions) error {
	return s.c.write(ctx, http.MethodPut, sessionPath("destroy", id), w, nil, nil, nil)
}

// Get returns a session, or nil when it is gone.
func (s Sessions) Get(ctx context.Context, id string, q *QueryOptions) (*Session, Meta, error) {
	found, meta, err := read[[]Session](ctx, s.c, sessionPath("info", id), q, nil)
	if err != nil || len(found) == 0 {
		return nil, meta, err
	}
	return &found[0], meta, nil
}

// List returns all sessions.
func (s Sessions) List(ctx context.Context, q *QueryOptions) ([]Session, Meta, error) {
	return read[[]Session](ctx, s.c, "/v1/session/list", q, nil)
}

// Node returns the sessions of a node, which is named by its name or its id.
func (s Sessions) Node(ctx context.Context, node string, q *QueryOptions) ([]Session, Meta, error) {
	return read[[]Session](ctx, s.c, sessionPath("node", node), q, nil)
}

func sessionPath(what, name string) string { return "/v1/session/" + what + "/" + url.PathEscape(name) }
