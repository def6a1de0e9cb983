package http

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/configentry"
	"github.com/parleymesh/parley/server/filter"
	"github.com/parleymesh/parley/server/verb"
)

var configEntryRoutes = []route{
	on("/v1/config", put(configPut)),
	on("/v1/config/", get(configGet), del(configDelete)),
	on("/v1/config/apply", put(configApply)),
	on("/v1/exported-services", get(exportedServices)),
}

// configPlace is where config entries are written: they are those of the primary datacenter, whichever is named.
func (r *request) configPlace() (verb.Options, error) {
	o, err := r.place()
	o.Datacenter = ""
	return o, err
}

func configPut(r *request) (any, error) {
	o, err := r.configPlace()
	if err != nil {
		return nil, err
	}
	cas, err := r.number("cas")
	if err != nil {
		return nil, err
	}
	data, err := r.json()
	if err != nil {
		return nil, err
	}
	entry, err := api.DecodeConfigEntry(data)
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "Request decoding failed: %v", err)
	}
	done, err := r.did(o, configentry.NewPut(entry, cas))
	if err == nil && done == true {
		r.warn(configentry.Warnings(entry))
	}
	return done, err
}

// maxWarnings is how many warnings an answer's headers carry, and the log's line; clients bound headers, and people their patience.
const maxWarnings = 8

// warn tells of what was done but is not all that was meant: in the answer's headers, and in the log.
func (r *request) warn(warnings []string) {
	if len(warnings) == 0 {
		return
	}
	shown := warnings[:min(len(warnings), maxWarnings)]
	for _, text := range shown {
		r.w.Header().Add("Warning", "299 parley "+strconv.QuoteToASCII(text))
	}
	r.s.log.Warn("config entries were written of which not all has an effect", "entries", len(warnings), "warnings", strings.Join(shown, "; "), "from", r.RemoteAddr)
}

// entry splits the path into a kind and a name, which may be empty.
func (r *request) entry() (kind, name string) {
	kind, name, _ = strings.Cut(r.name, "/")
	return kind, name
}

func configGet(r *request) (any, error) {
	kind, name := r.entry()
	if _, err := api.NewConfigEntry(kind); kind != "" && err != nil {
		return nil, api.Errorf(http.StatusInternalServerError, "%v", err)
	}
	if name == "" {
		return orError(configList(r, kind))
	}
	a, err := r.ask(configentry.Get{Kind: kind, Name: name})
	if err != nil {
		return nil, err
	}
	if len(a.Rows) == 0 {
		return nil, api.Errorf(http.StatusNotFound, "Config entry not found for %q / %q", kind, name)
	}
	return a.Rows[0], nil
}

// configList lists the entries of a kind, or of all kinds when it is empty. What a filter may speak of is the kind's.
func configList(r *request, kind string) (rows, error) {
	var keep []func(api.ConfigEntry) bool
	if text := r.param("filter"); text != "" {
		empty, err := api.NewConfigEntry(kind)
		if err != nil {
			return nil, err
		}
		f, err := filter.Compile(text, reflect.TypeOf(empty))
		if err != nil {
			return nil, r.badFilter(err)
		}
		keep = append(keep, func(e api.ConfigEntry) bool { return f.Match(e) })
	}
	a, err := r.ask(configentry.List{Kind: kind})
	if err != nil {
		return nil, err
	}
	return chosen(a.Rows, keep), nil
}

func configDelete(r *request) (any, error) {
	kind, name := r.entry()
	if kind == "" {
		return nil, api.Errorf(http.StatusNotFound, "Must provide both a kind and name to delete")
	}
	o, err := r.configPlace()
	if err != nil {
		return nil, err
	}
	c := configentry.Delete{Kind: kind, Name: name}
	if c.CAS, err = r.number("cas"); err != nil {
		return nil, err
	}
	done, err := r.did(o, c)
	if err == nil && c.CAS == nil {
		return struct{}{}, nil
	}
	return done, err
}
