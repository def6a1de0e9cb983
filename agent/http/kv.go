package http

import (
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/kv"
	"github.com/parleymesh/parley/server/verb"
)

// keyPath is where keys are. What comes after it is the key as it stands, percent signs decoded.
const keyPath = "/v1/kv/"

var kvRoutes = []route{
	on(keyPath, get(kvGet), put(kvPut), del(kvDelete)),
}

// errAbsent says that there is nothing, without a word.
var errAbsent = &api.Error{Status: http.StatusNotFound}

func kvGet(r *request) (any, error) {
	switch {
	case r.flag("keys"):
		a, err := r.ask(kv.Keys{Prefix: r.name, Separator: r.param("separator")})
		if err == nil && len(a.Rows) == 0 && r.name != "" {
			err = errAbsent
		}
		return orError(rows(a.Rows), err)
	case r.flag("recurse"):
		return orError(kvFound(r, kv.List{Prefix: r.name}))
	case r.name == "":
		return nil, errNoKey
	}
	found, err := kvFound(r, kv.Get{Key: r.name})
	if err != nil || !r.flag("raw") {
		return orError(found, err)
	}
	return r.raw(found[0].Value.(*api.KVPair).Value), nil
}

var errNoKey = &api.Error{Status: http.StatusBadRequest, Message: "Missing key name"}

func kvFound(r *request, q verb.Query) (rows, error) {
	a, err := r.ask(q)
	if err == nil && len(a.Rows) == 0 {
		err = errAbsent
	}
	return a.Rows, err
}

// raw shows what somebody stored, in which a browser is to see nothing but text.
func (r *request) raw(value []byte) *reply {
	r.w.Header().Set("X-Content-Type-Options", "nosniff")
	r.w.Header().Set("Content-Security-Policy", "sandbox")
	return &reply{contentType: "text/plain", body: append([]byte{}, value...)}
}

func kvPut(r *request) (any, error) {
	if r.name == "" {
		return nil, errNoKey
	}
	if err := r.oneOf("cas", "acquire", "release"); err != nil {
		return nil, err
	}
	o, err := r.place()
	if err != nil {
		return nil, err
	}
	c := kv.Put{Key: r.name}
	if c.CAS, err = r.number("cas"); err != nil {
		return nil, err
	}
	if flags, err := r.number("flags"); err != nil {
		return nil, err
	} else if flags != nil {
		c.Flags = *flags
	}
	c.Acquire, c.Release = r.text("acquire"), r.text("release")
	value, err := r.body(r.s.opts.MaxValue)
	if err != nil {
		return nil, err
	}
	if len(value) > 0 {
		c.Value = value
	}
	return r.did(o, c)
}

func kvDelete(r *request) (any, error) {
	if r.name == "" && !r.flag("recurse") {
		return nil, errNoKey
	}
	if err := r.oneOf("cas", "recurse"); err != nil {
		return nil, err
	}
	o, err := r.place()
	if err != nil {
		return nil, err
	}
	c := kv.Delete{Key: r.name, Recurse: r.flag("recurse")}
	if c.CAS, err = r.number("cas"); err != nil {
		return nil, err
	}
	return r.did(o, c)
}

// oneOf refuses parameters that contradict one another.
func (r *request) oneOf(names ...string) error {
	given := 0
	for _, name := range names {
		if r.flag(name) {
			given++
		}
	}
	if given > 1 {
		return api.Errorf(http.StatusBadRequest, "Conflicting flags: %s\n", r.URL.RawQuery)
	}
	return nil
}
