package kv

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
)

// checkVerb is for what knows the verbs of the catalog.
func checkVerb(about, verb string) error {
	switch verb {
	case api.VerbGet, api.VerbSet, api.VerbCAS, api.VerbDelete, api.VerbDeleteCAS:
		return nil
	}
	return badVerb(about, verb)
}

// writes tells whether a verb of the catalog changes something.
func writes(verb string) bool { return checkVerb("", verb) == nil && verb != api.VerbGet }

// puts tells whether a verb of the catalog writes, rather than reads or deletes.
func puts(verb string) bool { return verb == api.VerbSet || verb == api.VerbCAS }

// access is what a verb of the catalog needs.
func access(verb string) api.Access {
	if writes(verb) {
		return api.Write
	}
	return api.Read
}

// compare refuses to change what has another index than the operation says. What is not there has the index 0 for cas; for
// delete-cas it is no obstacle.
func compare(verb, what string, there bool, index, want uint64) error {
	if verb == api.VerbCAS && index != want || verb == api.VerbDeleteCAS && there && index != want {
		return fmt.Errorf("%s is not changed: its index is %d, not %d", what, index, want)
	}
	return nil
}

// nodeOp is an operation on a node.
type nodeOp api.NodeOp

func (o *nodeOp) check() error {
	if err := checkVerb("node", o.Verb); err != nil {
		return err
	}
	n := &o.Node
	if !puts(o.Verb) {
		if n.Node == "" && n.ID == "" {
			return errors.New("must provide the Node or ID of the node")
		}
		return nil
	}
	if n.Address == "" {
		return errors.New("must provide the Address of the node")
	}
	return state.CheckNode(n.Node, n.ID)
}

func (o *nodeOp) reads() bool { return !writes(o.Verb) }

// old returns the node that the operation is about, or nil.
func (o *nodeOp) old(tx *state.Tx) *api.Node {
	if n := state.NodeByID(tx, o.Node.ID); n != nil {
		return n
	}
	if n := state.Node(tx, o.Node.Node); n != nil && (puts(o.Verb) || o.Node.ID == "") {
		return n
	}
	return nil
}

func (o *nodeOp) needs(tx *state.Tx) []api.Permission {
	var needs []api.Permission
	if n := o.old(tx); n != nil {
		needs = onNode(n.Node, access(o.Verb))
	}
	if puts(o.Verb) || len(needs) == 0 {
		needs = append(needs, onNode(o.Node.Node, access(o.Verb))...)
	}
	return needs
}

func (o *nodeOp) do(tx *state.Tx) ([]api.TxnResult, error) {
	old := o.old(tx)
	var index uint64
	if old != nil {
		index = old.ModifyIndex
	}
	name := cmp.Or(o.Node.Node, o.Node.ID)
	if err := compare(o.Verb, fmt.Sprintf("node %q", name), old != nil, index, o.Node.ModifyIndex); err != nil {
		return nil, err
	}
	switch {
	case o.Verb == api.VerbGet && old == nil:
		return nil, fmt.Errorf("node %q does not exist", name)
	case o.Verb == api.VerbGet:
		return []api.TxnResult{{Node: old}}, nil
	case !puts(o.Verb):
		if old != nil {
			state.DeleteNode(tx, old.Node)
		}
		return nil, nil
	}
	n := o.Node
	if err := state.AdmitNode(tx, n.Node, n.ID, n.Address); err != nil {
		return nil, err
	}
	state.LeaveOldName(tx, n.Node, n.ID)
	if same := state.Node(tx, n.Node); same != nil && n.ID == "" {
		n.ID = same.ID
	}
	state.PutNode(tx, n)
	return []api.TxnResult{{Node: state.Node(tx, n.Node)}}, nil
}

// serviceOp is an operation on a service of a node.
type serviceOp api.ServiceOp

func (o *serviceOp) id() string { return cmp.Or(o.Service.ID, o.Service.Service) }

func (o *serviceOp) check() error {
	if err := checkVerb("service", o.Verb); err != nil {
		return err
	}
	if o.Node == "" {
		return errors.New("must provide the Node of the service")
	}
	if o.id() == "" {
		return errors.New("must provide the ID or Service of the service")
	}
	if puts(o.Verb) {
		return state.CheckService(&o.Service)
	}
	return nil
}

func (o *serviceOp) reads() bool { return !writes(o.Verb) }

func (o *serviceOp) needs(tx *state.Tx) []api.Permission {
	var needs []api.Permission
	if i := state.NodeInstance(tx, o.Node, o.id()); i != nil {
		needs = onService(i.Service.Service, access(o.Verb))
	}
	if puts(o.Verb) || len(needs) == 0 {
		needs = append(needs, onService(cmp.Or(o.Service.Service, o.id()), access(o.Verb))...)
	}
	return needs
}

func (o *serviceOp) do(tx *state.Tx) ([]api.TxnResult, error) {
	what := fmt.Sprintf("service %q of node %q", o.id(), o.Node)
	old := state.NodeInstance(tx, o.Node, o.id())
	var index uint64
	if old != nil {
		index = old.Service.ModifyIndex
	}
	if err := compare(o.Verb, what, old != nil, index, o.Service.ModifyIndex); err != nil {
		return nil, err
	}
	switch {
	case o.Verb == api.VerbGet && old == nil:
		return nil, fmt.Errorf("%s does not exist", what)
	case o.Verb == api.VerbGet:
		return shownService(old), nil
	case !puts(o.Verb):
		state.DeleteService(tx, o.Node, o.id())
		return nil, nil
	case state.Node(tx, o.Node) == nil:
		return nil, fmt.Errorf("%s is not written: there is no such node", what)
	}
	state.PutService(tx, state.Node(tx, o.Node).Node, o.Service.Normalized())
	return shownService(state.NodeInstance(tx, o.Node, o.id())), nil
}

// shownService shows no tags as null, as the public API does here.
func shownService(i *state.Instance) []api.TxnResult {
	s := i.Service
	if len(s.Tags) == 0 {
		s.Tags = nil
	}
	return []api.TxnResult{{Service: &s}}
}

// checkOp is an operation on a check.
type checkOp api.CheckOp

func (o *checkOp) id() string { return cmp.Or(o.Check.CheckID, o.Check.Name) }

func (o *checkOp) check() error {
	if err := checkVerb("check", o.Verb); err != nil {
		return err
	}
	if o.Check.Node == "" {
		return errors.New("must provide the Node of the check")
	}
	if o.id() == "" {
		return errors.New("must provide the CheckID of the check")
	}
	if s := o.Check.Status; puts(o.Verb) && s != "" && !api.ValidStatus(s) {
		return fmt.Errorf("the Status of check %q is %q, it can be %s, %s or %s", o.id(), s, api.Passing, api.Warning, api.Critical)
	}
	return nil
}

func (o *checkOp) reads() bool { return !writes(o.Verb) }

func (o *checkOp) needs(tx *state.Tx) []api.Permission {
	var needs []api.Permission
	if c := state.NodeCheck(tx, o.Check.Node, o.id()); c != nil {
		if c.ServiceName != "" {
			needs = onService(c.ServiceName, access(o.Verb))
		} else {
			needs = onNode(c.Node, access(o.Verb))
		}
	}
	if !puts(o.Verb) && len(needs) > 0 {
		return needs
	}
	if i := state.NodeInstance(tx, o.Check.Node, o.Check.ServiceID); i != nil {
		return append(needs, onService(i.Service.Service, access(o.Verb))...)
	}
	if o.Check.ServiceName != "" {
		return append(needs, onService(o.Check.ServiceName, access(o.Verb))...)
	}
	return append(needs, onNode(o.Check.Node, access(o.Verb))...)
}

func (o *checkOp) do(tx *state.Tx) ([]api.TxnResult, error) {
	what := fmt.Sprintf("check %q of node %q", o.id(), o.Check.Node)
	old := state.NodeCheck(tx, o.Check.Node, o.id())
	var index uint64
	if old != nil {
		index = old.ModifyIndex
	}
	if err := compare(o.Verb, what, old != nil, index, o.Check.ModifyIndex); err != nil {
		return nil, err
	}
	switch {
	case o.Verb == api.VerbGet && old == nil:
		return nil, fmt.Errorf("%s does not exist", what)
	case o.Verb == api.VerbGet:
		return shownCheck(old), nil
	case !puts(o.Verb):
		state.DeleteCheck(tx, o.Check.Node, o.id())
		return nil, nil
	}
	n := state.Node(tx, o.Check.Node)
	if n == nil {
		return nil, fmt.Errorf("%s is not written: there is no such node", what)
	}
	c := o.Check
	c.Node, c.CheckID, c.Status = n.Node, o.id(), cmp.Or(c.Status, api.Critical)
	if c.ServiceID != "" && state.NodeInstance(tx, c.Node, c.ServiceID) == nil {
		return nil, fmt.Errorf("%s is not written: there is no service with the ID %q", what, c.ServiceID)
	}
	state.PutCheck(tx, c)
	return shownCheck(state.NodeCheck(tx, c.Node, c.CheckID)), nil
}

// shownCheck shows no tags as null, as the public API does here.
func shownCheck(c *api.Check) []api.TxnResult {
	shown := *c
	if len(shown.ServiceTags) == 0 {
		shown.ServiceTags = nil
	}
	return []api.TxnResult{{Check: &shown}}
}

// sessionOp ends a session.
type sessionOp api.SessionOp

func (o *sessionOp) check() error {
	if o.Verb != api.VerbDelete {
		return badVerb("session", o.Verb)
	}
	return checkSessionID(o.Session.ID)
}

func (o *sessionOp) reads() bool { return o.Verb != api.VerbDelete }

func (o *sessionOp) needs(tx *state.Tx) []api.Permission { return writeSession(tx, o.Session.ID) }

func (o *sessionOp) do(tx *state.Tx) ([]api.TxnResult, error) {
	if o.Verb == api.VerbDelete {
		state.EndSession(tx, o.Session.ID)
	}
	return nil, nil
}
