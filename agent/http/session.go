package http

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/kv"
	"github.com/parleymesh/parley/server/verb"
)

var sessionRoutes = []route{
	on("/v1/session/create", put(sessionCreate)),
	on("/v1/session/destroy/", put(sessionDestroy)),
	on("/v1/session/renew/", put(sessionRenew)),
	on("/v1/session/info/", get(func(r *request) (any, error) { return sessionList(r, kv.Session{ID: r.name}) })),
	on("/v1/session/node/", get(func(r *request) (any, error) { return sessionList(r, kv.NodeSessions{Node: r.name}) })),
	on("/v1/session/list", get(func(r *request) (any, error) { return sessionList(r, kv.Sessions{}) })),
}

// defaultLockDelay is how long keys stay unlocked after a session that says nothing of it.
const defaultLockDelay = 15 * time.Second

// sessionBody is what a session can be asked to be. A field that it does not have is no error: clients send back what they read.
type sessionBody struct {
	Name          string
	Node          string
	LockDelay     *lockDelay
	Behavior      string
	TTL           string
	Checks        []string // an old name of NodeChecks
	NodeChecks    []string
	ServiceChecks []api.ServiceCheck
}

// lockDelay is a duration, or a number: of nanoseconds or, when it is a small one, of seconds.
type lockDelay time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *lockDelay) UnmarshalJSON(data []byte) error {
	if err := (*api.Duration)(d).UnmarshalJSON(data); err != nil {
		return err
	}
	if data[0] != '"' && *d < 1000 && *d > -1000 {
		*d *= lockDelay(time.Second)
	}
	return nil
}

// session returns the session that the body asks for.
func (b *sessionBody) session(node string) api.Session {
	s := api.Session{
		Name: b.Name, Node: cmp.Or(b.Node, node), Behavior: cmp.Or(b.Behavior, api.SessionRelease), TTL: b.TTL,
		LockDelay: defaultLockDelay, ServiceChecks: b.ServiceChecks,
	}
	if b.LockDelay != nil {
		s.LockDelay = time.Duration(*b.LockDelay)
	}
	if b.Checks == nil && b.NodeChecks == nil {
		s.NodeChecks = []string{api.SerfHealth}
		return s
	}
	s.NodeChecks = []string{}
	for _, id := range slices.Concat(b.NodeChecks, b.Checks) {
		if !slices.Contains(s.NodeChecks, id) {
			s.NodeChecks = append(s.NodeChecks, id)
		}
	}
	return s
}

func sessionCreate(r *request) (any, error) {
	data, err := r.json()
	if err != nil {
		return nil, err
	}
	var body sessionBody
	if len(data) > 0 {
		if err := json.Unmarshal(data, &body); err != nil {
			return nil, api.Errorf(http.StatusBadRequest, "Request decode failed: %v", err)
		}
	}
	if err := kv.CheckSessionTTL(body.TTL, r.s.opts.MinSessionTTL); err != nil {
		return nil, err
	}
	result, err := r.apply(kv.CreateSession{Session: body.session(r.s.opts.Node)})
	if err != nil {
		return nil, err
	}
	var made struct{ ID string }
	return &made, result.Decode(&made.ID)
}

func sessionDestroy(r *request) (any, error) {
	o, err := r.place()
	if err != nil {
		return nil, err
	}
	return r.did(o, kv.DestroySession{ID: r.name})
}

func sessionRenew(r *request) (any, error) {
	result, err := r.apply(kv.RenewSession{ID: r.name})
	if err != nil {
		return nil, err
	}
	var s api.Session
	if err := result.Decode(&s); err != nil {
		return nil, err
	}
	if s.ID == "" {
		return nil, errors.New("the leader did not say what it renewed")
	}
	return []api.Session{s}, nil
}

func sessionList(r *request, q verb.Query) (any, error) {
	if err := q.Validate(); err != nil { // nothing is asked, so nothing is told of the answer
		return nil, err
	}
	a, err := r.ask(q)
	return orError(rows(a.Rows), err)
}
