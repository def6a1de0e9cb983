package state

import (
	"iter"
	"slices"

	"github.com/parleymesh/parley/api"
)

// A session is never changed: it is made, and it ends. Its second secondary key is the index at which it was made, so that
// who has seen all up to an index finds the newer ones without reading the others.
var sessions = &table[api.Session]{
	name: "sessions", version: 1,
	key: func(tx *Tx, s *api.Session) string { return tx.key(s.ID) },
	by1: func(tx *Tx, s *api.Session) string { return tx.key(fold(s.Node)) },
	by2: func(_ *Tx, s *api.Session) string { return seqKey(s.CreateIndex) },
}

// The topics of sessions.
const (
	topicSessions     Kind = "sessions"      // all
	topicNodeSessions Kind = "node-sessions" // those of one node
	topicSession      Kind = "session"       // one, by id
)

// Sessions yields all sessions, by id.
func Sessions(tx *Tx) iter.Seq[*api.Session] {
	tx.sawAt(topicSessions, "", max(tx.last(topicSessions, ""), 1))
	return sessions.list(tx, tx.key())
}

// NodeSessions yields the sessions of a node.
func NodeSessions(tx *Tx, node string) iter.Seq[*api.Session] {
	tx.saw(topicNodeSessions, fold(node))
	return sessions.listBy1(tx, tx.key(fold(node)))
}

// SessionsSince yields the sessions made after an index, of all tenants, in the order in which they were made.
func SessionsSince(tx *Tx, index uint64) iter.Seq[*api.Session] {
	tx.saw(topicSessions, "")
	return sessions.fromBy2(tx, seqKey(index+1))
}

// Session returns one session, or nil. What is absent bears the index of the last change of any session, so that nothing
// need be kept of those that are gone.
func Session(tx *Tx, id string) *api.Session {
	s := sessions.get(tx, tx.key(id))
	if s != nil {
		tx.sawAt(topicSession, id, s.ModifyIndex)
	} else {
		tx.sawAt(topicSession, id, max(tx.last(topicSessions, ""), 1))
	}
	return s
}

// SessionExists tells whether there is a session.
func SessionExists(tx *Tx, id string) bool { return Session(tx, id) != nil }

// PutSession writes a new session on a node that exists.
func PutSession(tx *Tx, s api.Session) {
	s.CreateIndex, s.ModifyIndex = tx.index, tx.index
	sessions.put(tx, &s)
	sessionChanged(tx, &s)
}

// EndSession ends a session and gives up what it holds. It reports whether there was one.
func EndSession(tx *Tx, id string) bool {
	s := sessions.get(tx, tx.key(id))
	if s == nil {
		return false
	}
	sessions.remove(tx, tx.key(id))
	sessionChanged(tx, s)
	sessionGone(tx, s)
	return true
}

func sessionChanged(tx *Tx, s *api.Session) {
	tx.touch(topicSessions, "")
	tx.touch(topicNodeSessions, fold(s.Node))
	tx.wake(topicSession, s.ID)
}

// dependsOn tells whether a session ends with a check of its node.
func dependsOn(s *api.Session, check string) bool {
	return slices.Contains(s.NodeChecks, check) ||
		slices.ContainsFunc(s.ServiceChecks, func(c api.ServiceCheck) bool { return c.ID == check })
}
