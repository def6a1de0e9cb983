package api

import "time"

// What happens to the keys that a session holds when it ends.
const (
	SessionRelease = "release"
	SessionDelete  = "delete"
)

// Session ties locks to the health of a node and of checks, and to a time to live.
type Session struct {
	ID            string
	Name          string
	Node          string
	LockDelay     time.Duration // nanoseconds in JSON
	Behavior      string
	TTL           string
	NodeChecks    []string
	ServiceChecks []ServiceCheck
	Namespace     string `json:",omitempty"`
	Partition     string `json:",omitempty"`
	CreateIndex   uint64
	ModifyIndex   uint64
}

// ServiceCheck names a service's check that a session depends on.
type ServiceCheck struct {
	ID        string
	Namespace string `json:",omitempty"`
}
