package api

import "time"

// MemberExplanation is what happened to a member of late, as all members that answer tell it.
type MemberExplanation struct {
	Name   string
	Addr   string // host:port; empty when the member is not known any more
	Status string // alive, leaving, left, failed or unknown
	// Asked is how many other members were asked, Answered how many have answered, and Silent are the first of those that have not.
	Asked, Answered int
	Silent          []string
	Events          []MemberEvent // the oldest first
}

// MemberEvent is something that happened to a member, as one agent tells it. The time is by that agent's clock.
type MemberEvent struct {
	Time   time.Time
	Last   time.Time // when it happened last, where it did so several times
	Times  int
	Node   string // who tells it
	Others int    // how many others tell the same
	What   string // alive, leaving, left, failed or none; or one of the words below
	By     string // who accuses the member
	Detail string
}

// What else than a change of its status can happen to a member. The teller of the first three accuses it, that of the last two is the
// member itself.
const (
	MemberSuspected    = "suspected"     // it did not answer a probe, neither the teller's nor those of others on its behalf
	MemberTCPOnly      = "tcp-only"      // it answers by TCP and not by UDP
	MemberGivenUp      = "given-up"      // it has not objected in time
	MemberAccused      = "accused"       // somebody suspected it, and it objected
	MemberDeclaredDead = "declared-dead" // somebody said that it had failed, and it objected
	MemberMoved        = "moved"         // it has another address
	MemberForgotten    = "forgotten"     // the teller's agent has forgotten it
)

// MemberTransition tells whether what happened is a change that all members see.
func MemberTransition(what string) bool {
	switch what {
	case MemberSuspected, MemberTCPOnly, MemberGivenUp, MemberAccused, MemberDeclaredDead:
		return false
	}
	return true
}
