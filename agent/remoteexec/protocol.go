// Package remoteexec runs a program on many hosts at once: Ask writes down what to run and tells the agents by an event; Run, on
// each of them, runs it and writes down what it printed and how it ended. Between the two stand nothing but keys that one session
// holds: when that ends, whoever asked has all answers or is gone, so the keys go with it and the programs are ended.
package remoteexec

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Event is the name of the event by which agents are told.
const Event = "_rexec"

// DefaultPrefix is what the keys lie beneath.
const DefaultPrefix = "_rexec"

// format is the newest of announcement and Job that this release reads.
const format = 1

// announcement is the payload of the event: where the job is.
type announcement struct {
	Format  int
	Prefix  string
	Session string
}

// Job is what to run: a line, for a shell or as separate words, or a script.
type Job struct {
	Format int
	Args   []string `json:",omitempty"`
	Shell  bool     `json:",omitempty"` // Args is one line, which a shell reads
	Script []byte   `json:",omitempty"`
}

// The keys of a job, beneath its prefix and session:
//
//	job               what to run, as JSON
//	<node>/ack        a node has taken it up, and no other process of that node will
//	<node>/out/00000  what it printed, in order
//	<node>/exit       how it ended, as a number
type place string

func (a announcement) place() place { return place(a.Prefix + "/" + a.Session + "/") }

func (p place) job() string                   { return string(p) + "job" }
func (p place) ack(node string) string        { return string(p) + node + "/ack" }
func (p place) exit(node string) string       { return string(p) + node + "/exit" }
func (p place) out(node string, n int) string { return fmt.Sprintf("%s%s/out/%05d", p, node, n) }

// part tells what a key of a node is about.
func (p place) part(key string) (node, what string, ok bool) {
	rest, ok := strings.CutPrefix(key, string(p))
	if !ok {
		return "", "", false
	}
	node, what, ok = strings.Cut(rest, "/")
	if strings.HasPrefix(what, "out/") {
		what = "out"
	}
	return node, what, ok && node != ""
}

// maxPrefix bounds what an event names, in bytes.
const maxPrefix = 200

func readAnnouncement(payload []byte) (announcement, error) {
	var a announcement
	if err := json.Unmarshal(payload, &a); err != nil {
		return a, fmt.Errorf("the event's payload: %w", err)
	}
	switch {
	case a.Format < 1 || a.Format > format:
		return a, fmt.Errorf("the event has format %d, this release reads up to %d", a.Format, format)
	case a.Prefix == "" || len(a.Prefix) > maxPrefix || strings.HasPrefix(a.Prefix, "/"):
		return a, fmt.Errorf("the event's prefix %q: want 1 to %d bytes that do not begin with a slash", a.Prefix, maxPrefix)
	case a.Session == "" || strings.Contains(a.Session, "/") || len(a.Session) > 64:
		return a, fmt.Errorf("the event's session %q is none", a.Session)
	}
	return a, nil
}

func readJob(value []byte) (Job, error) {
	var j Job
	if err := json.Unmarshal(value, &j); err != nil {
		return j, fmt.Errorf("the job: %w", err)
	}
	if j.Format < 1 || j.Format > format {
		return j, fmt.Errorf("the job has format %d, this release reads up to %d", j.Format, format)
	}
	return j, j.validate()
}

func (j Job) validate() error {
	switch {
	case (len(j.Args) == 0) == (len(j.Script) == 0):
		return fmt.Errorf("a job is either a command or a script")
	case j.Shell && len(j.Args) != 1:
		return fmt.Errorf("a job for a shell is one line, not %d", len(j.Args))
	case len(j.Args) > 0 && j.Args[0] == "":
		return fmt.Errorf("a job's command is empty")
	}
	return nil
}
