package http

import (
	"encoding/json"
	"net/http"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/configentry"
)

// configApply makes several changes to config entries, all of them or none. With ?dry-run it makes none.
func configApply(r *request) (any, error) {
	o, err := r.configPlace()
	if err != nil {
		return nil, err
	}
	data, err := r.json()
	if err != nil {
		return nil, err
	}
	var body struct{ Changes []json.RawMessage }
	if err := decodeJSON(data, &body); err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "Request decoding failed: %v", err)
	}
	changes := make([]configentry.Change, len(body.Changes))
	out := api.EntryOutcome{Problems: []api.EntryProblem{}, Warnings: []string{}, Entries: make([]json.RawMessage, len(changes))}
	for i, raw := range body.Changes {
		if changes[i], err = changeOf(raw, i, &out); err != nil {
			return nil, api.Errorf(http.StatusBadRequest, "Request decoding failed: Changes[%d]: %v", i, err)
		}
	}
	if out.Problems = append(out.Problems, configentry.CheckChanges(changes)...); len(out.Problems) > 0 {
		return outcome(&out, false), nil
	}
	if r.flag("dry-run") {
		return rehearse(r, changes, out)
	}
	result, err := r.s.opts.Client.Apply(r.Context(), o, configentry.Batch{Changes: changes})
	if err != nil {
		return nil, err
	}
	if err := result.Decode(&out.Problems); err != nil {
		return nil, err
	}
	if len(out.Problems) == 0 {
		r.warn(out.Warnings)
	}
	return outcome(&out, len(out.Problems) == 0), nil
}

// changeOf reads one change, and notes what will become of it.
func changeOf(raw []byte, i int, out *api.EntryOutcome) (configentry.Change, error) {
	var c api.EntryChange
	if err := json.Unmarshal(raw, &c); err != nil {
		return configentry.Change{}, err
	}
	switch {
	case (c.Put == nil) == (c.Delete == nil):
		return configentry.Change{}, api.Errorf(http.StatusBadRequest, "want either Put or Delete")
	case c.Delete != nil:
		return configentry.Change{Kind: c.Delete.Kind, Name: c.Delete.Name, CAS: c.CAS}, nil
	}
	change, err := configentry.NewChange(c.Put, c.CAS)
	if err != nil {
		return change, err
	}
	out.Warnings = append(out.Warnings, configentry.Warnings(c.Put)...)
	configentry.Normalize(c.Put)
	out.Entries[i], err = json.Marshal(c.Put)
	return change, err
}

// rehearse judges the changes at the leader.
func rehearse(r *request, changes []configentry.Change, out api.EntryOutcome) (any, error) {
	o, err := r.configPlace()
	if err != nil {
		return nil, err
	}
	a, err := r.s.opts.Client.Query(r.Context(), o, configentry.Rehearse{Changes: changes})
	if err != nil {
		return nil, err
	}
	for _, row := range a.Rows {
		out.Problems = append(out.Problems, *row.Value.(*api.EntryProblem))
	}
	return outcome(&out, len(out.Problems) == 0), nil
}

// exportedServices lists which services are exported, and to whom.
func exportedServices(r *request) (any, error) {
	a, err := r.ask(configentry.Exported{})
	return rows(a.Rows), err
}
