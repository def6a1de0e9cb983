package http

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// request is one request on its way through its handler.
type request struct {
	*http.Request
	s      *Server
	w      http.ResponseWriter
	name   string // what follows the route's path, unescaped
	params url.Values
}

func (s *Server) newRequest(w http.ResponseWriter, hr *http.Request, rest string) (*request, error) {
	name, err := url.PathUnescape(rest)
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "Invalid URL path: %v", err)
	}
	params, err := url.ParseQuery(hr.URL.RawQuery)
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "Invalid query string: %v", err)
	}
	return &request{Request: hr, s: s, w: w, name: name, params: params}, nil
}

// param returns the first value of a query parameter.
func (r *request) param(name string) string { return r.params.Get(name) }

// flag tells whether a query parameter is there, whatever its value.
func (r *request) flag(name string) bool { return r.params.Has(name) }

// text reads a query parameter; nil when it is not there.
func (r *request) text(name string) *string {
	if !r.flag(name) {
		return nil
	}
	text := r.param(name)
	return &text
}

// number reads a query parameter that is a number; nil when it is not there.
func (r *request) number(name string) (*uint64, error) {
	if !r.flag(name) {
		return nil, nil
	}
	n, err := strconv.ParseUint(r.param(name), 10, 64)
	if err != nil {
		return nil, api.Errorf(http.StatusInternalServerError, "%s: %v", name, err)
	}
	return &n, nil
}

// token is the secret that the client shows.
func (r *request) token() string {
	if t := r.param("token"); t != "" {
		return t
	}
	if t := r.Header.Get("X-Consul-Token"); t != "" {
		return t
	}
	scheme, t, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(t)
	}
	return ""
}

// place reads the options that go with every command and query: where, and who asks.
func (r *request) place() (verb.Options, error) {
	for _, p := range []struct{ param, header string }{{"ns", "X-Consul-Namespace"}, {"partition", "X-Consul-Partition"}} {
		name := r.param(p.param)
		if name == "" {
			name = r.Header.Get(p.header)
		}
		if !defaultTenant(name) {
			return verb.Options{}, api.Errorf(http.StatusBadRequest, "Invalid query parameter: %q is %q, but only %q exists in this release",
				p.param, name, api.DefaultTenant)
		}
	}
	return verb.Options{Datacenter: r.param("dc"), Token: r.token()}, nil
}

// datacenter is the one that the request is about.
func (r *request) datacenter() string { return cmp.Or(r.param("dc"), r.s.opts.Datacenter) }

// defaultTenant tells whether the name of a namespace or partition is that of the only one.
func defaultTenant(name string) bool { return name == "" || strings.EqualFold(name, api.DefaultTenant) }

// reading reads the options of a query.
func (r *request) reading() (verb.Options, error) {
	o, err := r.place()
	if err != nil {
		return o, err
	}
	if o.Mode, err = r.mode(); err != nil {
		return o, err
	}
	if text := r.param("index"); text != "" {
		if o.MinIndex, err = strconv.ParseUint(text, 10, 64); err != nil {
			return o, api.Errorf(http.StatusBadRequest, "Invalid index")
		}
	}
	if o.Wait, err = r.waitTime(); err != nil {
		return o, err
	}
	if text := r.param("max_stale"); text != "" {
		if o.MaxStale, err = time.ParseDuration(text); err != nil || o.MaxStale < 0 {
			return o, api.Errorf(http.StatusBadRequest, "Invalid max_stale value %q", text)
		}
		if o.Mode == verb.Default && !r.flag("leader") {
			o.Mode = verb.Stale
		}
	}
	_, err = r.cacheControl() // what cannot be understood is refused, also where nothing is cached
	return o, err
}

func (r *request) mode() (verb.Mode, error) {
	stale, consistent := r.flag("stale"), r.flag("consistent")
	switch {
	case stale && consistent:
		return 0, api.Errorf(http.StatusBadRequest, "Cannot specify ?stale with ?consistent, conflicting semantics.")
	case r.flag("cached") && consistent:
		return 0, api.Errorf(http.StatusBadRequest, "Cannot specify ?cached with ?consistent, conflicting semantics.")
	case r.flag("leader") && (stale || consistent):
		return 0, api.Errorf(http.StatusBadRequest, "Cannot specify ?leader with ?stale or ?consistent, conflicting semantics.")
	case stale:
		return verb.Stale, nil
	case consistent:
		return verb.Consistent, nil
	}
	return verb.Default, nil
}

// apply carries out a command.
func (r *request) apply(c verb.Command) (verb.Result, error) {
	o, err := r.place()
	if err != nil {
		return verb.Result{}, err
	}
	return r.s.opts.Client.Apply(r.Context(), o, c)
}

// applyAt is apply for a command whose body names the datacenter, which is stronger than the query string.
func (r *request) applyAt(datacenter string, c verb.Command) (verb.Result, error) {
	o, err := r.place()
	if err != nil {
		return verb.Result{}, err
	}
	if datacenter != "" {
		o.Datacenter = datacenter
	}
	return r.s.opts.Client.Apply(r.Context(), o, c)
}

// ask carries out a query and tells in headers how current the answer is.
func (r *request) ask(q verb.Query) (verb.Answer, error) {
	o, err := r.reading()
	if err != nil {
		return verb.Answer{}, err
	}
	return r.askAs(o, q)
}

func (r *request) askAs(o verb.Options, q verb.Query) (verb.Answer, error) {
	ctx, release, err := r.hold(o)
	if err != nil {
		return verb.Answer{}, err
	}
	defer release()
	a, err := r.s.opts.Client.Query(ctx, o, q)
	if err != nil && r.s.closing.Err() != nil {
		err = errClosing
	}
	r.showMeta(a)
	return a, err
}

// peek carries out a query whose answer does not tell how current it is, so that nobody can wait for another one.
func (r *request) peek(q verb.Query) (verb.Answer, error) {
	o, err := r.reading()
	if err != nil {
		return verb.Answer{}, err
	}
	o.MinIndex = 0
	return r.s.opts.Client.Query(r.Context(), o, q)
}

// did carries out a command whose result is whether it did something.
func (r *request) did(o verb.Options, c verb.Command) (any, error) {
	result, err := r.s.opts.Client.Apply(r.Context(), o, c)
	if err != nil {
		return nil, err
	}
	var done bool
	if err := result.Decode(&done); err != nil {
		return nil, err
	}
	return done, nil
}

var errClosing = &api.Error{Status: http.StatusServiceUnavailable, Message: "this agent is shutting down"}

// untilClose returns a context that also ends when the server closes.
func (s *Server) untilClose(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.closing, cancel)
	return ctx, func() { stop(); cancel() }
}

// body reads the whole body, which may be so many bytes long.
func (r *request) body(limit int64) ([]byte, error) {
	tooLarge := api.Errorf(http.StatusRequestEntityTooLarge, "Request body(%d bytes) too large, max size: %d bytes", r.ContentLength, limit)
	if r.ContentLength > limit {
		return nil, r.s.refuse(r.Request, "body", tooLarge)
	}
	rc := http.NewResponseController(r.w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	data, err := io.ReadAll(http.MaxBytesReader(r.w, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, r.s.refuse(r.Request, "body", api.Errorf(http.StatusRequestEntityTooLarge, "Request body too large, max size: %d bytes", limit))
	case err != nil:
		return nil, api.Errorf(http.StatusBadRequest, "the request's body could not be read: %v", err)
	}
	return data, nil
}

// maxNesting is how deep a body may be nested. Servers refuse what is much deeper; here the local agent is spared it, too.
const maxNesting = 100

// json reads the whole body, which is JSON.
func (r *request) json() ([]byte, error) {
	data, err := r.body(r.s.opts.MaxBody)
	if err == nil && nesting(data) > maxNesting {
		err = api.Errorf(http.StatusBadRequest, "the request's body is nested more than %d levels deep", maxNesting)
	}
	return data, err
}

// nesting returns how many lists and objects stand within one another at the deepest place of some JSON.
func nesting(data []byte) int {
	depth, deepest, text := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '[' || c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']' || c == '}':
			depth--
		}
	}
	return deepest
}

// decode reads the body as JSON into v. A field that v does not have is an error, as is one of a wrong type; the error
// names it.
func (r *request) decode(v any) error {
	return r.decodeAs(http.StatusBadRequest, "Request decode failed", v)
}

// decodeAs is decode for endpoints that refuse in other words.
func (r *request) decodeAs(status int, refusal string, v any) error {
	data, err := r.json()
	if err != nil {
		return err
	}
	if err := decodeJSON(data, v); err != nil {
		return api.Errorf(status, "%s: %v", refusal, err)
	}
	return nil
}

func decodeJSON(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

// need refuses who may not do something that concerns this agent alone.
func (r *request) need(resource, name string, access api.Access) error {
	p := api.Permission{Resource: resource, Name: name, Access: access}
	d, err := r.s.opts.Authorizer.Decide(r.Context(), r.token(), p)
	if err != nil {
		return err
	}
	if !d.Allowed {
		return api.Errorf(http.StatusForbidden, "Permission denied: %s:%s on %q is needed: %s", p.Resource, p.Access, p.Name, d.Why)
	}
	return nil
}

// may tells whether something may be shown. The error is for a token that is none.
func (r *request) may(resource, name string, access api.Access) (bool, error) {
	d, err := r.s.opts.Authorizer.Decide(r.Context(), r.token(), api.Permission{Resource: resource, Name: name, Access: access})
	return d.Allowed, err
}
