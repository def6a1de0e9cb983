package gossip

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
)

// What happened to members is remembered for whoever asks why one of them failed. Memberlist tells most of it in its log alone: who
// does not answer this agent's probes, and who has accused this agent.

const (
	// historyEach is how many things are remembered of a member, and historyMembers of how many members: the last ones.
	historyEach    = 24
	historyMembers = 4096
	// again is within which time the same thing is counted in place of being remembered once more.
	again = 30 * time.Second
)

// history is what this agent remembers of the members.
type history struct {
	self string

	mu sync.Mutex // guards what follows
	of map[string]*remembered
}

// remembered is what happened to one member, the newest last.
type remembered struct {
	events []api.MemberEvent
}

func newHistory(self string) *history { return &history{self: self, of: map[string]*remembered{}} }

// add remembers that something happened to a member.
func (h *history) add(member, what, by, detail string) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.of[member]
	if r == nil {
		h.makeRoom()
		r = &remembered{}
		h.of[member] = r
	}
	for i := len(r.events) - 1; i >= 0 && !api.MemberTransition(r.events[i].What); i-- {
		// Probes go on while nobody answers.
		if e := &r.events[i]; e.What == what && e.By == by && e.Detail == detail && now.Sub(e.Last) < again {
			e.Times, e.Last = e.Times+1, now
			return
		}
	}
	r.events = append(r.events, api.MemberEvent{Time: now, Last: now, Times: 1, Node: h.self, What: what, By: by, Detail: detail})
	if over := len(r.events) - historyEach; over > 0 {
		r.events = slices.Delete(r.events, 0, over)
	}
}

// makeRoom forgets the member of whom nothing has been heard for longest, where there are too many.
func (h *history) makeRoom() {
	if len(h.of) < historyMembers {
		return
	}
	var oldest string
	var at time.Time
	for name, r := range h.of {
		if last := r.events[len(r.events)-1].Last; oldest == "" || last.Before(at) {
			oldest, at = name, last
		}
	}
	delete(h.of, oldest)
}

// about lists what is remembered of a member, the newest last.
func (h *history) about(member string) []api.MemberEvent {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.of[member]; r != nil {
		return slices.Clone(r.events)
	}
	return nil
}

// The lines of memberlist's log that tell something of a member, and what they tell. A test in simulated time would see if another
// release had other words.
var (
	saysSuspect  = regexp.MustCompile(`^Suspect (\S+) has failed, no acks received`)
	saysGivenUp  = regexp.MustCompile(`^Marking (\S+) as failed, suspect timeout reached \((\d+) peer confirmations\)`)
	saysTCPOnly  = regexp.MustCompile(`^Was able to connect to (\S+) over TCP but UDP probes failed`)
	saysRefuting = regexp.MustCompile(`^Refuting a (suspect|dead) message \(from: (\S*)\)`)
)

// read takes a line of memberlist's log.
func (h *history) read(text string) {
	if m := saysSuspect.FindStringSubmatch(text); m != nil {
		h.add(m[1], api.MemberSuspected, h.self, "")
	} else if m := saysGivenUp.FindStringSubmatch(text); m != nil {
		h.add(m[1], api.MemberGivenUp, h.self, m[2]+" others agreed")
	} else if m := saysTCPOnly.FindStringSubmatch(text); m != nil {
		h.add(m[1], api.MemberTCPOnly, h.self, "")
	} else if m := saysRefuting.FindStringSubmatch(text); m != nil {
		what := api.MemberAccused
		if m[1] == "dead" {
			what = api.MemberDeclaredDead
		}
		h.add(h.self, what, m[2], "")
	}
}

// transition remembers a change of what a member is.
func (h *history) transition(was Member, known bool, m *Member) {
	switch {
	case known && was.Status == m.Status && was.Addr == m.Addr:
	case known && was.Status == m.Status && m.Status == api.MemberAlive:
		h.add(m.Name, api.MemberMoved, "", fmt.Sprintf("from %s to %s", was.Addr, m.Addr))
	case !known || was.Status != m.Status:
		h.add(m.Name, m.Status.String(), "", m.Addr.String())
	}
}

// historyBytes bounds what one agent tells of a member in an answer: serf allows 1024 with what it adds itself.
const historyBytes = 640

// told is an event as it travels: the teller is known from the answer.
type told struct {
	At    int64  `json:"t"` // in milliseconds since 1970
	Last  int64  `json:"l,omitempty"`
	Times int    `json:"n,omitempty"`
	What  string `json:"w"`
	By    string `json:"b,omitempty"`
	More  string `json:"d,omitempty"`
}

// encodeHistory encodes as many of the newest events as fit.
func encodeHistory(events []api.MemberEvent) []byte {
	var parts []string
	size := 2
	for _, e := range slices.Backward(events) {
		t := told{At: e.Time.UnixMilli(), What: e.What, By: e.By, More: e.Detail}
		if e.Times > 1 {
			t.Times, t.Last = e.Times, e.Last.UnixMilli()
		}
		raw, err := json.Marshal(t)
		if err != nil || size+len(raw)+1 > historyBytes {
			break
		}
		size += len(raw) + 1
		parts = append(parts, string(raw))
	}
	slices.Reverse(parts)
	return []byte("[" + strings.Join(parts, ",") + "]")
}

// decodeHistory decodes what a member tells. It is from the network: what is no event is left out.
func decodeHistory(from string, raw []byte) ([]api.MemberEvent, error) {
	if len(raw) > 2*historyBytes {
		return nil, fmt.Errorf("%d bytes of history, %d is the most", len(raw), 2*historyBytes)
	}
	var in []told
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("its history: %w", err)
	}
	var out []api.MemberEvent
	for _, t := range in[:min(len(in), historyEach)] {
		if t.What == "" {
			continue
		}
		e := api.MemberEvent{Time: time.UnixMilli(t.At).UTC(), Node: from, What: t.What, By: t.By, Detail: t.More, Times: max(t.Times, 1)}
		e.Last = e.Time
		if t.Last > t.At {
			e.Last = time.UnixMilli(t.Last).UTC()
		}
		out = append(out, e)
	}
	return out, nil
}
