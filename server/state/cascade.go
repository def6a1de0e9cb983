package state

import (
	"slices"

	"github.com/parleymesh/parley/api"
)

// This file is the one place where a change of one table changes another or wakes who reads another.

// nodeChanged wakes those who read a node: by itself, or beside the instances on it.
func nodeChanged(tx *Tx, node string) {
	tx.touch(topicNodes, "")
	tx.touch(topicNode, fold(node))
	for i := range services.list(tx, tx.key(fold(node))) {
		instanceChanged(tx, &i.Service)
	}
}

// nodeGone removes what is on a node that goes.
func nodeGone(tx *Tx, n *api.Node) {
	for _, s := range collect(sessions.listBy1(tx, tx.key(fold(n.Node)))) {
		EndSession(tx, s.ID)
	}
	for _, i := range collect(services.list(tx, tx.key(fold(n.Node)))) {
		DeleteService(tx, n.Node, i.Service.ID)
	}
	for _, c := range collect(checks.list(tx, tx.key(fold(n.Node)))) {
		deleteCheck(tx, c)
	}
	deletePlaces(tx, n.Node)
	tx.touch(topicNodes, "")
	tx.touch(topicNode, fold(n.Node))
}

// serviceChanged wakes those who read an instance. Its checks carry its name and tags, so they change with it. Of old and
// next, one may be nil.
func serviceChanged(tx *Tx, node string, old, next *Instance) {
	tx.touch(topicNode, fold(node))
	if old == nil || next == nil || old.Service.Service != next.Service.Service || !slices.Equal(old.Service.Tags, next.Service.Tags) {
		tx.touch(topicServices, "")
	}
	if old != nil {
		instanceChanged(tx, &old.Service)
		if d := meshDestination(&old.Service); d != "" {
			virtualChanged(tx, d)
		}
	}
	if next == nil {
		return
	}
	instanceChanged(tx, &next.Service)
	for _, c := range collect(InstanceChecks(tx, node, next.Service.ID)) {
		PutCheck(tx, *c)
	}
}

// instanceChanged wakes those who read a service's instances.
func instanceChanged(tx *Tx, s *api.Service) {
	tx.touch(topicService, fold(s.Service))
	healthChanged(tx, s)
}

// healthChanged wakes those who read a service's instances with their checks.
func healthChanged(tx *Tx, s *api.Service) {
	tx.touch(topicHealth, fold(s.Service))
	if d := meshDestination(s); d != "" {
		tx.touch(topicMesh, fold(d))
	}
}

// checkChanged wakes those who read a check: a node's check concerns every instance on it.
func checkChanged(tx *Tx, c *api.Check) {
	tx.touch(topicChecks, "")
	tx.touch(topicNode, fold(c.Node))
	if c.ServiceID != "" {
		if i := services.get(tx, tx.key(fold(c.Node), c.ServiceID)); i != nil {
			healthChanged(tx, &i.Service)
		}
		tx.touch(topicServiceChecks, fold(c.ServiceName))
		return
	}
	for i := range services.list(tx, tx.key(fold(c.Node))) {
		healthChanged(tx, &i.Service)
	}
}

// checkLost ends the sessions that depend on a check which turned critical or is gone.
func checkLost(tx *Tx, c *api.Check) {
	var ends []string
	for s := range sessions.listBy1(tx, tx.key(fold(c.Node))) {
		if dependsOn(s, c.CheckID) {
			ends = append(ends, s.ID)
		}
	}
	for _, id := range ends {
		EndSession(tx, id)
	}
}

// sessionGone unlocks or, if the session wants it so, deletes the keys that a session had locked when it ended, and keeps them
// from being locked again at once. Prepared queries that go with the session go.
func sessionGone(tx *Tx, s *api.Session) {
	for _, p := range collect(SessionKeys(tx, s.ID)) {
		if s.Behavior == api.SessionDelete {
			DeleteKey(tx, p.Key)
		} else {
			free := *p
			free.Session = ""
			PutKey(tx, free)
		}
		if s.LockDelay > 0 {
			putLockDelay(tx, p.Key, s.LockDelay)
		}
	}
	deleteSessionQueries(tx, s.ID)
}
