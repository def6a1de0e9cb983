package gossip

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/parleymesh/parley/api"
)

// explainQuery is the name under which serf carries the question what the members know of one of them.
const explainQuery = "p-explain"

const (
	// explainWithin is how long the members may take to answer. One that does not is often the one asked about.
	explainWithin = 2 * time.Second
	// askedQueue is how many questions wait to be answered; what comes beyond is not answered.
	askedQueue = 16
	// fewMembers is up to how many members all tell all that they know. Of more, only the servers, whoever accuses the member, and the member
	// itself do: a thousand agents have seen the same.
	fewMembers = 64
	// sameMoment is how far apart two agents see the same change.
	sameMoment = 20 * time.Second
	// listedSilent bounds the names of those that did not answer.
	listedSilent = 16
)

// Explain tells what happened to a member of late, as this agent and all others that answer within two seconds remember it.
func (p *Pool) Explain(ctx context.Context, name string) (api.MemberExplanation, error) {
	done, err := p.call()
	if err != nil {
		return api.MemberExplanation{}, err
	}
	defer done()
	p.refresh()
	v := p.view.Load()
	m, ok := v.find(name)
	if !ok {
		// In the pool of all datacenters a member has its datacenter's name behind its own.
		if m, ok = v.find(p.opts.kind.memberName(name, p.opts.Datacenter)); ok {
			name = m.Name
		}
	}
	out := api.MemberExplanation{Name: name, Status: "unknown", Silent: []string{}}
	if ok {
		out.Status, out.Addr = m.Status.String(), m.Addr.String()
	}
	events := p.history.about(name)
	if !ok && len(events) == 0 {
		return out, api.Errorf(http.StatusNotFound, "no member is called %q, nor does this agent remember one: parley members lists those that there are", name)
	}
	silent := map[string]bool{}
	for i := range v.members {
		if o := &v.members[i]; o.live() && o.Name != p.opts.NodeName {
			silent[o.Name] = true
		}
	}
	out.Asked = len(silent)
	answers, err := p.ask(ctx, name, silent)
	if err != nil {
		return out, err
	}
	for _, a := range answers {
		more, err := decodeHistory(a.From, a.Payload)
		if err != nil {
			p.log.Debug("a member's answer is not understood", "node", a.From, "err", err)
			continue
		}
		events = append(events, more...)
	}
	out.Answered = out.Asked - len(silent)
	for node := range silent {
		out.Silent = append(out.Silent, node)
	}
	slices.Sort(out.Silent)
	out.Silent = out.Silent[:min(len(out.Silent), listedSilent)]
	out.Events = together(p.opts.NodeName, events)
	return out, nil
}

// ask collects the answers, until everybody has answered; who has is taken from silent.
func (p *Pool) ask(ctx context.Context, name string, silent map[string]bool) ([]serf.NodeResponse, error) {
	if len(silent) == 0 {
		return nil, nil
	}
	q, err := p.serf.Query(explainQuery, []byte(name), &serf.QueryParam{Timeout: explainWithin})
	if err != nil {
		return nil, api.Errorf(http.StatusInternalServerError, "ask the members about %q: %v", name, err)
	}
	defer q.Close()
	var out []serf.NodeResponse
	end := time.NewTimer(explainWithin)
	defer end.Stop()
	for len(silent) > 0 {
		select {
		case a, ok := <-q.ResponseCh():
			if !ok {
				return out, nil
			}
			if silent[a.From] {
				delete(silent, a.From)
				out = append(out, a)
			}
		case <-end.C:
			return out, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-p.stop:
			return nil, ErrClosed
		}
	}
	return out, nil
}

// together orders events by time. Of a change that many have seen one is kept, this agent's own if there is one: the others are counted.
func together(self string, events []api.MemberEvent) []api.MemberEvent {
	slices.SortStableFunc(events, func(a, b api.MemberEvent) int {
		return cmp.Or(cmp.Compare(own(self, b), own(self, a)), a.Time.Compare(b.Time), cmp.Compare(a.Node, b.Node))
	})
	out := []api.MemberEvent{}
	for _, e := range events {
		i := -1
		if api.MemberTransition(e.What) {
			i = slices.IndexFunc(out, func(o api.MemberEvent) bool {
				return o.What == e.What && o.Node != e.Node && o.Time.Sub(e.Time).Abs() < sameMoment
			})
		}
		if i >= 0 {
			out[i].Others++
			continue
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b api.MemberEvent) int { return a.Time.Compare(b.Time) })
	return out
}

func own(self string, e api.MemberEvent) int {
	if e.Node == self {
		return 1
	}
	return 0
}

// question takes a question of another agent. It does not wait: serf holds its lock meanwhile.
func (p *Pool) question(q *serf.Query) {
	if q.Name != explainQuery {
		return
	}
	select {
	case p.asked <- q:
	default:
		p.log.Debug("too many questions at a time, one is not answered", "from", q.SourceNode())
	}
}

// explainOthers answers the others' questions.
func (p *Pool) explainOthers() {
	for {
		select {
		case q := <-p.asked:
			if q.SourceNode() == p.opts.NodeName {
				continue
			}
			if err := q.Respond(p.testimony(string(q.Payload))); err != nil {
				p.log.Debug("a question is not answered", "from", q.SourceNode(), "err", err)
			}
		case <-p.stop:
			return
		}
	}
}

// testimony is what this agent tells the others of a member; that it has nothing to tell is an answer, too.
func (p *Pool) testimony(name string) []byte {
	events := p.history.about(name)
	if !p.opts.Server && name != p.opts.NodeName && len(p.view.Load().members) > fewMembers {
		events = slices.DeleteFunc(events, func(e api.MemberEvent) bool { return api.MemberTransition(e.What) })
	}
	return encodeHistory(events)
}
