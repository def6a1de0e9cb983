package watcher

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Watch says what is followed, and who is told.
type Watch struct {
	Type       string
	Datacenter string
	Token      string

	// Handler is what the parameters say of one: a *Script, a *Webhook, or nil.
	Handler Handler

	view view
	key  string // tells it from others
}

// view is a part of the HTTP API.
type view struct {
	path      string
	params    url.Values
	filter    string
	stale     bool
	byHash    bool   // it is the agent's own, which has no index
	unordered bool   // its index does not grow
	news      bool   // only what is new is handed on
	absent    string // what is handed on when there is nothing; empty: that is an error
	pick      func(body []byte) ([]byte, error)
}

// webhookTimeout is how long a URL may take to answer unless told otherwise.
const webhookTimeout = 10 * time.Second

// kinds is every type of watch, with the parameters that it takes.
var kinds = map[string]func(p *params) view{
	"key": func(p *params) view {
		return view{path: "/v1/kv/" + url.PathEscape(p.needs("key")), stale: p.flag("stale"), absent: "null", pick: first}
	},
	"keyprefix": func(p *params) view {
		return view{
			path: "/v1/kv/" + url.PathEscape(p.needs("prefix")), params: url.Values{"recurse": {""}}, stale: p.flag("stale"), absent: "null",
		}
	},
	"services": func(p *params) view {
		return view{path: "/v1/catalog/services", stale: p.flag("stale"), filter: p.text("filter")}
	},
	"nodes": func(p *params) view {
		return view{path: "/v1/catalog/nodes", stale: p.flag("stale"), filter: p.text("filter")}
	},
	"service": func(p *params) view {
		v := view{
			path: "/v1/health/service/" + url.PathEscape(p.needs("service")), params: url.Values{},
			stale: p.flag("stale"), filter: p.text("filter"),
		}
		for _, tag := range p.list("tag") {
			v.params.Add("tag", tag)
		}
		if p.flag("passingonly") {
			v.params.Set("passing", "1")
		}
		return v
	},
	"checks": func(p *params) view {
		service, state := p.text("service"), p.text("state")
		v := view{path: "/v1/health/state/any", stale: p.flag("stale"), filter: p.text("filter")}
		switch {
		case service != "" && state != "":
			p.fail("cannot specify service and state: they are two views")
		case service != "":
			v.path = "/v1/health/checks/" + url.PathEscape(service)
		case state != "":
			v.path = "/v1/health/state/" + url.PathEscape(state)
		}
		return v
	},
	"event": func(p *params) view {
		v := view{path: "/v1/event/list", params: url.Values{}, unordered: true, news: true}
		if name := p.text("name"); name != "" {
			v.params.Set("name", name)
		}
		return v
	},
	"connect_roots": func(*params) view { return view{path: "/v1/agent/connect/ca/roots"} },
	"connect_leaf": func(p *params) view {
		return view{path: "/v1/agent/connect/ca/leaf/" + url.PathEscape(p.needs("service"))}
	},
	"agent_service": func(p *params) view {
		return view{path: "/v1/agent/service/" + url.PathEscape(p.needs("service_id")), byHash: true}
	},
}

// Parse reads a watch as configuration has it. Every mistake names its parameter.
func Parse(parameters map[string]any) (*Watch, error) {
	p := &params{all: parameters, used: map[string]bool{}}
	w := &Watch{Type: p.text("type"), Datacenter: p.text("datacenter"), Token: p.text("token")}
	kind := kinds[w.Type]
	switch {
	case p.err != nil:
		return nil, p.err
	case w.Type == "":
		return nil, fmt.Errorf("a watch needs a type: %s", strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	case kind == nil:
		return nil, fmt.Errorf("there is no watch of type %q: use %s", w.Type, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	w.view = kind(p)
	w.Handler = p.handler()
	if p.err != nil {
		return nil, fmt.Errorf("watch of type %s: %w", w.Type, p.err)
	}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if !p.used[name] {
			return nil, fmt.Errorf("watch of type %s: there is no parameter %q for it", w.Type, name)
		}
	}
	key, err := json.Marshal(parameters)
	if err != nil {
		return nil, fmt.Errorf("watch of type %s: %w", w.Type, err)
	}
	w.key = string(key)
	return w, nil
}

// first takes the one element out of a list.
func first(body []byte) ([]byte, error) {
	body = bytes.TrimSpace(body)
	if bytes.Equal(body, []byte("null")) {
		return body, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return []byte("null"), nil
	}
	return list[0], nil
}

// params reads parameters and remembers the first mistake and which it has read.
type params struct {
	all  map[string]any
	used map[string]bool
	err  error
}

func (p *params) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *params) take(name string) any {
	p.used[name] = true
	return p.all[name]
}

func (p *params) text(name string) string {
	switch v := p.take(name).(type) {
	case nil:
	case string:
		return v
	default:
		p.fail("%s must be text, not %v", name, v)
	}
	return ""
}

func (p *params) needs(name string) string {
	text := p.text(name)
	if text == "" {
		p.fail("%s is missing", name)
	}
	return text
}

func (p *params) flag(name string) bool {
	switch v := p.take(name).(type) {
	case nil:
	case bool:
		return v
	case string:
		if b, err := strconv.ParseBool(v); err == nil {
			return b
		}
		p.fail("%s must be true or false, not %q", name, v)
	default:
		p.fail("%s must be true or false, not %v", name, v)
	}
	return false
}

// list reads text or a list of it.
func (p *params) list(name string) []string {
	switch v := p.take(name).(type) {
	case nil:
		return nil
	case string:
		return []string{v}
	case []string:
		return slices.Clone(v)
	case []any:
		out := make([]string, len(v))
		for i, e := range v {
			text, ok := e.(string)
			if !ok {
				p.fail("%s must be a list of text, but element %d is %v", name, i+1, e)
			}
			out[i] = text
		}
		return out
	default:
		p.fail("%s must be a list of text, not %v", name, v)
	}
	return nil
}

// object reads an object, which a file may have written as a block.
func (p *params) object(name string) map[string]any {
	switch v := p.take(name).(type) {
	case nil:
	case map[string]any:
		return v
	case []map[string]any:
		if len(v) == 1 {
			return v[0]
		}
		p.fail("%s stands there %d times, once is meant", name, len(v))
	case []any:
		if len(v) == 1 {
			if m, ok := v[0].(map[string]any); ok {
				return m
			}
		}
		p.fail("%s must be one object", name)
	default:
		p.fail("%s must be an object, not %v", name, v)
	}
	return nil
}

// handler reads who is told; nil: nobody is named.
func (p *params) handler() Handler {
	kind, args, line, web := p.text("handler_type"), p.list("args"), p.text("handler"), p.object("http_handler_config")
	script := len(args) > 0 || line != ""
	switch kind {
	case "", "script", "http":
	default:
		p.fail("handler_type is %q: use script or http", kind)
		return nil
	}
	switch {
	case script && (kind == "http" || web != nil):
		p.fail("it has a script and an HTTP handler: one of args and http_handler_config has to go")
	case len(args) > 0 && line != "":
		p.fail("it has args and handler, which are two ways to name one program: remove handler")
	case len(args) > 0 && args[0] == "":
		p.fail("args does not name a program")
	case len(args) > 0:
		return &Script{Args: args}
	case line != "":
		return Shell(line)
	case web != nil:
		return p.webhook(web)
	case kind == "http":
		p.fail("handler_type is http, and http_handler_config is missing")
	case kind == "script":
		p.fail("handler_type is script, and args is missing")
	}
	return nil
}

func (p *params) webhook(object map[string]any) Handler {
	o := &params{all: object, used: map[string]bool{}}
	h := &Webhook{URL: o.needs("path"), Method: o.text("method"), Timeout: webhookTimeout, Header: http.Header{}, SkipVerify: o.flag("tls_skip_verify")}
	if h.Method == "" {
		h.Method = http.MethodPost
	}
	if text := o.text("timeout"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			o.fail("timeout is %q: want a duration such as 10s", text)
		}
		h.Timeout = d
	}
	headers := &params{all: o.object("header"), used: map[string]bool{}}
	for name := range headers.all {
		for _, value := range headers.list(name) {
			h.Header.Add(name, value)
		}
	}
	if o.err == nil {
		o.err = headers.err
	}
	if _, err := http.NewRequest(h.Method, h.URL, nil); err != nil {
		o.fail("path or method: %w", err)
	} else if u, err := url.Parse(h.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		o.fail("path is %q: want a URL, http:// or https://", h.URL)
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if !o.used[name] {
			o.fail("there is no parameter %q for it", name)
		}
	}
	if o.err != nil {
		p.fail("http_handler_config: %w", o.err)
	}
	return h
}
