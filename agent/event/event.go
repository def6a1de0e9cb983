// Package event is the user events of one agent: it fires them, judges those that arrive by their filters, and keeps the
// last ones for whoever lists or waits for them. How they travel is gossip's matter.
package event

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/parleymesh/parley/api"
)

// Kept is how many events an agent remembers.
const Kept = 256

// MaxSize bounds an event: its name, payload and filters together, in bytes. Gossip carries it in packets.
const MaxSize = 512

// version is that of the event's meaning, which the API shows.
const version = 1

// NoEvent is the index of a list without an event.
const NoEvent = 1

// Service is one of those on this host, as filters see it.
type Service struct {
	Name string
	Tags []string
}

// Options is what a Log is made of.
type Options struct {
	Node string
	// Services lists what runs on this host.
	Services func() []Service
	// Broadcast tells all agents, this one too, whose Receive is called with the same bytes.
	Broadcast func(data []byte) error
	Logger    *slog.Logger
}

// Log is the last events of one agent.
type Log struct {
	opts Options
	log  *slog.Logger

	mu      sync.Mutex // guards what follows
	events  []api.UserEvent
	changed chan struct{}
}

// New returns an empty log.
func New(o Options) *Log {
	return &Log{opts: o, log: o.Logger.With("component", "event"), changed: make(chan struct{})}
}

// Fire checks an event, gives it an id and tells everybody. It returns the event as told.
func (l *Log) Fire(e api.UserEvent) (api.UserEvent, error) {
	e.ID, e.Version, e.LTime = uuid.NewString(), version, 0
	if len(e.Payload) == 0 {
		e.Payload = nil
	}
	if err := validate(&e); err != nil {
		return e, err
	}
	data, err := encode(&e)
	if err != nil {
		return e, err
	}
	if err := l.opts.Broadcast(data); err != nil {
		return e, fmt.Errorf("error broadcasting event: %w", err)
	}
	return e, nil
}

func validate(e *api.UserEvent) error {
	if e.Name == "" {
		return api.Errorf(http.StatusBadRequest, "Missing name")
	}
	if _, err := compile(e); err != nil {
		return err
	}
	if len(e.Name)+len(e.Payload)+len(e.NodeFilter)+len(e.ServiceFilter)+len(e.TagFilter) > MaxSize {
		return api.Errorf(http.StatusInternalServerError, "error broadcasting event: user event exceeds configured limit of %d bytes before encoding; "+
			"put what is larger into a key and name that", MaxSize)
	}
	return nil
}

// Receive takes an event from gossip, at the Lamport time at which it was told. What is told twice, or is not for this
// agent, is dropped.
func (l *Log) Receive(ltime uint64, data []byte) {
	e, err := decode(data)
	if err != nil {
		l.log.Warn("an event from another agent cannot be read", "err", err)
		return
	}
	e.LTime = ltime
	f, err := compile(&e)
	if err != nil {
		l.log.Warn("an event from another agent cannot be judged", "event", e.Name, "id", e.ID, "err", err)
		return
	}
	if !f.match(l.opts.Node, l.opts.Services) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(l.events, func(old api.UserEvent) bool { return old.ID == e.ID }) {
		return
	}
	if len(l.events) == Kept {
		l.events = slices.Delete(l.events, 0, 1)
	}
	l.events = append(l.events, e)
	l.log.Debug("new event", "event", e.Name, "id", e.ID)
	close(l.changed)
	l.changed = make(chan struct{})
}

// List returns the events of the name, or all when it is empty, the oldest first, and a channel that is closed when there
// is a new one, whatever its name.
func (l *Log) List(name string) (events []api.UserEvent, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events = []api.UserEvent{}
	for _, e := range l.events {
		if name == "" || e.Name == name {
			events = append(events, e)
		}
	}
	return events, l.changed
}

// Index is what a client waits by: it differs from event to event but does not grow. It is the exclusive or of the
// halves of the last event's id, as in the public API.
func Index(events []api.UserEvent) uint64 {
	if len(events) == 0 {
		return NoEvent
	}
	id, err := uuid.Parse(events[len(events)-1].ID)
	if err != nil {
		return NoEvent
	}
	return binary.BigEndian.Uint64(id[:8]) ^ binary.BigEndian.Uint64(id[8:])
}

// filters is an event's filters; nil matches everything.
type filters struct{ node, service, tag *regexp.Regexp }

func compile(e *api.UserEvent) (f filters, err error) {
	for _, p := range []struct {
		name, text string
		to         **regexp.Regexp
	}{{"node", e.NodeFilter, &f.node}, {"service", e.ServiceFilter, &f.service}, {"tag", e.TagFilter, &f.tag}} {
		if p.text == "" {
			continue
		}
		if *p.to, err = regexp.Compile(p.text); err != nil {
			return f, api.Errorf(http.StatusInternalServerError, "Invalid %s filter: %v", p.name, err)
		}
	}
	if f.tag != nil && f.service == nil {
		return f, api.Errorf(http.StatusInternalServerError, "Cannot provide tag filter without service filter")
	}
	return f, nil
}

// match tells whether an agent is meant: by its node's name, and by one of its services with one of its tags.
func (f filters) match(node string, services func() []Service) bool {
	if f.node != nil && !f.node.MatchString(node) {
		return false
	}
	if f.service == nil {
		return true
	}
	return slices.ContainsFunc(services(), func(s Service) bool {
		return f.service.MatchString(s.Name) && (f.tag == nil || slices.ContainsFunc(s.Tags, f.tag.MatchString))
	})
}

// wire is an event as it travels.
type wire struct {
	Format  int    `codec:"f"` // of this struct
	ID      []byte `codec:"i"`
	Name    string `codec:"n"`
	Payload []byte `codec:"p,omitempty"`
	Node    string `codec:"nf,omitempty"`
	Service string `codec:"sf,omitempty"`
	Tag     string `codec:"tf,omitempty"`
	Version int    `codec:"v"`
}

// format is the newest of wire that this release reads.
const format = 1

var handle = &codec.MsgpackHandle{}

func encode(e *api.UserEvent) ([]byte, error) {
	id, err := uuid.Parse(e.ID)
	if err != nil {
		return nil, fmt.Errorf("encode event %q: %w", e.Name, err)
	}
	var b bytes.Buffer
	err = codec.NewEncoder(&b, handle).Encode(&wire{
		Format: format, ID: id[:], Name: e.Name, Payload: e.Payload, Node: e.NodeFilter, Service: e.ServiceFilter, Tag: e.TagFilter, Version: e.Version,
	})
	return b.Bytes(), err
}

func decode(data []byte) (api.UserEvent, error) {
	var w wire
	if err := codec.NewDecoderBytes(data, handle).Decode(&w); err != nil {
		return api.UserEvent{}, fmt.Errorf("decode: %w", err)
	}
	if w.Format < 1 || w.Format > format {
		return api.UserEvent{}, fmt.Errorf("it has format %d, this release reads up to %d", w.Format, format)
	}
	id, err := uuid.FromBytes(w.ID)
	if err != nil {
		return api.UserEvent{}, fmt.Errorf("its id: %w", err)
	}
	e := api.UserEvent{
		ID: id.String(), Name: w.Name, Payload: w.Payload, NodeFilter: w.Node, ServiceFilter: w.Service, TagFilter: w.Tag, Version: w.Version,
	}
	if len(e.Payload) == 0 {
		e.Payload = nil
	}
	return e, validate(&e)
}
