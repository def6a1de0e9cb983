package query

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/parleymesh/parley/api"
)

// call is what the texts of a template may speak of: how it was asked for, and by whom.
type call struct {
	Name    string // that was asked for
	Segment string // of the asking agent
}

// compile returns the query that a call means. One that is no template means itself.
func compile(q *api.PreparedQuery, c call) (*api.PreparedQuery, error) {
	switch q.Template.Type {
	case "":
		return q, nil
	case api.QueryNamePrefixMatch:
	default:
		return nil, refusal("Bad Template.Type '%s'", q.Template.Type)
	}
	groups, err := match(q.Template.Regexp, c.Name)
	if err != nil {
		return nil, refusal("Bad Regexp: %v", err)
	}
	env := &environment{
		variables: map[string]string{
			"name.full": c.Name, "name.prefix": q.Name, "name.suffix": c.Name[min(len(q.Name), len(c.Name)):],
			"agent.segment": c.Segment,
		},
		match: func(n int) string {
			if n < 0 || n >= len(groups) {
				return ""
			}
			return groups[n]
		},
	}
	out := *q
	if err := fill(&out.Service, env); err != nil {
		return nil, err
	}
	if q.Template.RemoveEmptyTags {
		out.Service.Tags = slices.DeleteFunc(out.Service.Tags, func(t string) bool { return t == "" })
	}
	return &out, nil
}

// match returns what a name has of the groups of a regular expression: nothing, when it does not fit or there is none.
func match(expression, name string) ([]string, error) {
	if expression == "" {
		return nil, nil
	}
	// The language has no expression whose matching takes more than linear time.
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil, err
	}
	return re.FindStringSubmatch(name), nil
}

// fill interpolates all texts of a service query. The lists and maps that it had are left alone.
func fill(s *api.ServiceQuery, env *environment) error {
	s.Failover.Datacenters, s.Failover.Targets = slices.Clone(s.Failover.Datacenters), slices.Clone(s.Failover.Targets)
	s.IgnoreCheckIDs, s.Tags = slices.Clone(s.IgnoreCheckIDs), slices.Clone(s.Tags)
	s.NodeMeta, s.ServiceMeta = maps.Clone(s.NodeMeta), maps.Clone(s.ServiceMeta)

	f := &filler{env: env}
	f.text("Service.Service", &s.Service)
	f.text("Service.Peer", &s.Peer)
	f.text("Service.SamenessGroup", &s.SamenessGroup)
	f.text("Service.Near", &s.Near)
	f.list("Service.Failover.Datacenters", s.Failover.Datacenters)
	for i := range s.Failover.Targets {
		t, path := &s.Failover.Targets[i], fmt.Sprintf("Service.Failover.Targets[%d]", i)
		f.text(path+".Peer", &t.Peer)
		f.text(path+".Datacenter", &t.Datacenter)
	}
	f.list("Service.IgnoreCheckIDs", s.IgnoreCheckIDs)
	f.list("Service.Tags", s.Tags)
	f.values("Service.NodeMeta", s.NodeMeta)
	f.values("Service.ServiceMeta", s.ServiceMeta)
	return f.err
}

// filler interpolates until something is wrong.
type filler struct {
	env *environment
	err error
}

func (f *filler) text(path string, text *string) {
	if f.err != nil {
		return
	}
	v, err := interpolate(*text, f.env)
	if err != nil {
		f.err = refusal("Bad evaluation for '%s' in %s: %v", *text, path, err)
		return
	}
	*text = v
}

func (f *filler) list(path string, texts []string) {
	for i := range texts {
		f.text(fmt.Sprintf("%s[%d]", path, i), &texts[i])
	}
}

func (f *filler) values(path string, m map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v := m[k]
		f.text(path+"["+k+"]", &v)
		m[k] = v
	}
}
