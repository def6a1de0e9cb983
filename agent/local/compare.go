package local

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/catalog"
)

// picture is a node with what is on it. Nothing that it refers to is changed.
type picture struct {
	node     *api.Node // nil: there is none
	services map[string]*api.Service
	checks   map[string]*api.Check
}

// pictureOf is the catalog's.
func pictureOf(parts []*catalog.NodePart) picture {
	p := picture{services: map[string]*api.Service{}, checks: map[string]*api.Check{}}
	for _, part := range parts {
		switch {
		case part.Node != nil:
			p.node = part.Node
		case part.Service != nil:
			p.services[part.Service.ID] = part.Service
		case part.Check != nil:
			p.checks[part.Check.CheckID] = part.Check
		}
	}
	return p
}

// difference is what the catalog is to be told for it to say what is registered here.
type difference struct {
	node          bool
	services      []string
	checks        []string
	outputs       []string // checks of which the output alone differs
	ghostServices []string // that the catalog has and this host does not
	ghostChecks   map[string]string
	tags          map[string][]string // by service: what the catalog has, and was allowed to have
}

// compare finds the difference between what is registered here and what the catalog says. Of a server, the leader keeps a
// part.
func compare(mine, theirs picture, server bool) difference {
	d := difference{node: !sameNode(mine.node, theirs.node), tags: map[string][]string{}, ghostChecks: map[string]string{}}
	for id, sv := range mine.services {
		other := theirs.services[id]
		if other != nil && sv.EnableTagOverride && !slices.Equal(sv.Tags, other.Tags) {
			d.tags[id] = other.Tags
			with := *sv
			with.Tags = other.Tags
			sv = &with
		}
		if other == nil || !equal(plainService(sv), plainService(other)) {
			d.services = append(d.services, id)
		}
	}
	for id, c := range mine.checks {
		other := theirs.checks[id]
		switch {
		case other == nil || !equal(plainCheck(c), plainCheck(other)):
			d.checks = append(d.checks, id)
		case c.Output != other.Output:
			d.outputs = append(d.outputs, id)
		}
	}
	leaders := func(service string) bool { return server && service == serverService }
	for id := range theirs.services {
		if mine.services[id] == nil && !leaders(id) {
			d.ghostServices = append(d.ghostServices, id)
		}
	}
	for id, c := range theirs.checks {
		if mine.checks[id] == nil && id != api.SerfHealth && !leaders(c.ServiceID) {
			d.ghostChecks[id] = c.ServiceID
		}
	}
	return d
}

func sameNode(mine, theirs *api.Node) bool {
	return theirs != nil && mine.ID == theirs.ID && mine.Node == theirs.Node && mine.Address == theirs.Address &&
		maps.Equal(mine.TaggedAddresses, theirs.TaggedAddresses) && maps.Equal(mine.Meta, theirs.Meta)
}

// plainService leaves out what the catalog adds.
func plainService(s *api.Service) *api.Service {
	plain := s.Normalized()
	plain.CreateIndex, plain.ModifyIndex = 0, 0
	if _, ok := plain.TaggedAddresses[api.TaggedVirtual]; ok {
		plain.TaggedAddresses = maps.Clone(plain.TaggedAddresses)
		delete(plain.TaggedAddresses, api.TaggedVirtual)
	}
	return &plain
}

// plainCheck leaves out what the catalog adds, and what is compared apart.
func plainCheck(c *api.Check) *api.Check {
	plain := *c
	plain.CreateIndex, plain.ModifyIndex, plain.Output = 0, 0, ""
	plain.ServiceName, plain.ServiceTags = "", nil
	return &plain
}

// equal compares as the API shows: what has travelled has lost the difference between an empty list and none.
func equal[T any](a, b *T) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	x, err := json.Marshal(a)
	if err != nil {
		return false
	}
	y, err := json.Marshal(b)
	return err == nil && bytes.Equal(x, y)
}
