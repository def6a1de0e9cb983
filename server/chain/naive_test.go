package chain

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
)

// call is what a proxy is asked for, and the number by which it decides where chance does.
type call struct {
	path, method string
	headers      map[string]string
	chance       *big.Rat // 0 to 1, without 1
}

func (c call) matches(r api.ServiceRoute) bool {
	if r.Match == nil || r.Match.HTTP == nil {
		return true
	}
	m := r.Match.HTTP
	for _, h := range m.Header {
		if (c.headers[h.Name] == h.Exact) == h.Invert {
			return false
		}
	}
	return strings.HasPrefix(c.path, m.PathPrefix) && (len(m.Methods) == 0 || slices.Contains(m.Methods, c.method))
}

// decision is where a call goes, where else if that fails, and what becomes of headers on the way there and back.
type decision struct {
	Targets           []string
	Request, Response string
}

// walker decides by walking entries, step by step, as their documentation reads: a second opinion on the compiler.
type walker struct {
	memory
	protocol string // the one that all must speak
	plain    bool
}

var errLoop = errors.New("loop")

func (w *walker) speaks(service string) string {
	if s := w.Service(service); s != nil && s.Protocol != "" {
		return s.Protocol
	}
	if w.Proxy() != nil {
		return "http"
	}
	return "tcp"
}

// decide walks for one call.
func (w *walker) decide(service string, c call) (decision, error) {
	if r := w.Router(service); r != nil && !w.plain {
		for _, route := range r.Routes {
			if !c.matches(route) {
				continue
			}
			to, subset := service, ""
			if d := route.Destination; d != nil {
				if d.Service != "" {
					to = d.Service
				}
				subset = d.ServiceSubset
			}
			return w.split(to, subset, c.chance, nil, 0)
		}
	}
	return w.split(service, "", c.chance, nil, 0)
}

// split goes on from a service with the legs already taken.
func (w *walker) split(service, subset string, chance *big.Rat, taken []api.ServiceSplit, depth int) (decision, error) {
	if depth > len(services) {
		return decision{}, errLoop
	}
	s := w.Splitter(service)
	if subset != "" || s == nil || w.plain || depth > 0 && taken[depth-1].Service == "" {
		return w.arrive(service, subset, taken)
	}
	low := new(big.Rat)
	for _, leg := range s.Splits {
		width := new(big.Rat).SetFrac64(int64(leg.Weight), 100)
		high := new(big.Rat).Add(low, width)
		if chance.Cmp(low) < 0 || chance.Cmp(high) >= 0 {
			low = high
			continue
		}
		within := new(big.Rat).Quo(new(big.Rat).Sub(chance, low), width)
		to := leg.Service
		if to == service {
			leg.Service = ""
		}
		if to == "" {
			to = service
		}
		return w.split(to, leg.ServiceSubset, within, append(slices.Clone(taken), leg), depth+1)
	}
	return decision{}, fmt.Errorf("the weights of %q do not reach %s", service, chance)
}

func (w *walker) arrive(service, subset string, taken []api.ServiceSplit) (decision, error) {
	at, err := w.redirected(spot{service, subset, "dc1", ""})
	if err != nil {
		return decision{}, err
	}
	d := decision{Targets: []string{at.String()}}
	if r := w.Resolver(at.service); r != nil && at.peer == "" {
		f, ok := r.Failover[at.subset]
		if !ok {
			f = r.Failover["*"]
		}
		for _, next := range ladder(at, f) {
			if next, err = w.redirected(next); err != nil {
				return decision{}, err
			}
			if !slices.Contains(d.Targets, next.String()) {
				d.Targets = append(d.Targets, next.String())
			}
		}
	}
	request, response := headers{}, headers{}
	for _, leg := range taken {
		request.change(leg.RequestHeaders)
	}
	for _, leg := range slices.Backward(taken) {
		response.change(leg.ResponseHeaders)
	}
	d.Request, d.Response = request.String(), response.String()
	return d, nil
}

// spot is what a name stands for.
type spot struct{ service, subset, datacenter, peer string }

func (s spot) String() string {
	at := s.datacenter
	if s.peer != "" {
		at = "external." + s.peer
	}
	name := s.service + ".default.default." + at
	if s.subset != "" {
		name = s.subset + "." + name
	}
	return name
}

// to is a spot that differs in what is given.
func (s spot) to(service, subset, datacenter, peer string) spot {
	if service != "" {
		if service != s.service {
			s.subset = ""
		}
		s.service = service
	}
	if subset != "" {
		s.subset = subset
	}
	if datacenter != "" {
		s.datacenter = datacenter
	}
	if peer != "" {
		s.datacenter, s.peer = "", peer
	}
	return s
}

func ladder(s spot, f api.ResolverFailover) (out []spot) {
	switch {
	case len(f.Targets) > 0:
		for _, t := range f.Targets {
			out = append(out, s.to(t.Service, t.ServiceSubset, t.Datacenter, t.Peer))
		}
	case len(f.Datacenters) > 0:
		for _, dc := range f.Datacenters {
			out = append(out, s.to(f.Service, f.ServiceSubset, dc, ""))
		}
	case f.Service != "" || f.ServiceSubset != "":
		out = append(out, s.to(f.Service, f.ServiceSubset, "", ""))
	}
	return out
}

func (w *walker) redirected(s spot) (spot, error) {
	for range 1000 {
		if s.peer != "" {
			return s, nil
		}
		if w.speaks(s.service) != w.protocol {
			return s, errors.New("protocols")
		}
		r := w.Resolver(s.service)
		if r == nil {
			r = &api.ServiceResolver{}
		}
		if d := r.Redirect; d != nil {
			if to := s.to(d.Service, d.ServiceSubset, d.Datacenter, d.Peer); to != s {
				s = to
				continue
			}
		}
		if s.subset == "" && r.DefaultSubset != "" {
			s.subset = r.DefaultSubset
			continue
		}
		if _, ok := r.Subsets[s.subset]; s.subset != "" && !ok {
			return s, errors.New("no such subset")
		}
		return s, nil
	}
	return s, errLoop
}

// headers are those of one message, by lower-case name.
type headers map[string][]string

func (h headers) change(m *api.HeaderModifiers) {
	if m == nil {
		return
	}
	for name, value := range m.Set {
		h[strings.ToLower(name)] = []string{value}
	}
	for name, value := range m.Add {
		h[strings.ToLower(name)] = append(h[strings.ToLower(name)], value)
	}
	for _, name := range m.Remove {
		delete(h, strings.ToLower(name))
	}
}

func (h headers) String() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		out = append(out, name+"="+strings.Join(h[name], ","))
	}
	return strings.Join(out, " ")
}

// follow decides by walking a compiled chain, which is all that a proxy has.
func (c call) follow(chain *api.DiscoveryChain) decision {
	n := chain.Nodes[chain.StartNode]
	request, response := headers{}, headers{}
	for n.Resolver == nil {
		next := ""
		for _, r := range n.Routes {
			if c.matches(*r.Definition) {
				next = r.NextNode
				break
			}
		}
		sum := new(big.Rat)
		for _, s := range n.Splits {
			sum.Add(sum, new(big.Rat).SetFrac64(int64(s.Weight*100+0.5), whole))
			if c.chance.Cmp(sum) < 0 {
				request.change(s.Definition.RequestHeaders)
				response.change(s.Definition.ResponseHeaders)
				next = s.NextNode
				break
			}
		}
		n = chain.Nodes[next]
	}
	d := decision{Targets: []string{n.Resolver.Target}, Request: request.String(), Response: response.String()}
	if f := n.Resolver.Failover; f != nil {
		d.Targets = append(d.Targets, f.Targets...)
	}
	return d
}

// sound tells whether everything that a walk could come to makes sense, also where chance never leads.
func (w *walker) sound(service string) error {
	if w.Router(service) != nil && w.protocol == "tcp" {
		return errors.New("a router for tcp")
	}
	if err := w.soundSplit(service, "", nil); err != nil {
		return err
	}
	r := w.Router(service)
	if r == nil || w.plain {
		return nil
	}
	for _, route := range r.Routes {
		to, subset := service, ""
		if d := route.Destination; d != nil {
			subset = d.ServiceSubset
			if d.Service != "" {
				to = d.Service
			}
		}
		if err := w.soundSplit(to, subset, nil); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) soundSplit(service, subset string, above []string) error {
	s := w.Splitter(service)
	if subset == "" && s != nil && w.speaks(service) == "tcp" {
		return errors.New("a splitter for tcp")
	}
	if subset != "" || s == nil || w.plain {
		_, err := w.arrive(service, subset, nil)
		return err
	}
	if slices.Contains(above, service) {
		return errLoop
	}
	if w.speaks(service) != w.protocol {
		return errors.New("protocols")
	}
	for _, leg := range s.Splits {
		var err error
		if leg.Service == "" || leg.Service == service {
			_, err = w.arrive(service, leg.ServiceSubset, nil)
		} else {
			err = w.soundSplit(leg.Service, leg.ServiceSubset, append(slices.Clone(above), service))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TestSecondOpinion has the compiled graph and the entries themselves decide the same calls, over random entries.
func TestSecondOpinion(t *testing.T) {
	const cases = 6000
	compiled, calls, routed, nested := 0, 0, 0, 0
	for seed := range uint64(cases) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := dice{roll: r.IntN}.entries()
		override := []string{"", "", "", "tcp", "http"}[r.IntN(5)]
		w := &walker{memory: m}
		w.protocol = w.speaks("a")
		w.plain = w.protocol == "tcp" || override == "tcp"
		c, err := Compile(Options{Service: "a", Datacenter: "dc1", Overrides: Overrides{Protocol: override}}, m)
		if unsound := w.sound("a"); (err != nil) != (unsound != nil) {
			t.Fatalf("seed %d: compiling says %v, walking says %v", seed, err, unsound)
		}
		if err != nil {
			continue
		}
		compiled++
		if err := wellFormed(c); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if c.Nodes[c.StartNode].Routes != nil {
			routed++
		}
		for _, n := range c.Nodes {
			if s := m.Splitter("a"); s != nil && len(n.Splits) > len(s.Splits) {
				nested++
			}
		}
		for range 40 {
			calls++
			q := call{
				path: []string{"/", "/a", "/a/b/c", "/x"}[r.IntN(4)], method: []string{"GET", "PUT"}[r.IntN(2)],
				headers: map[string]string{"h": []string{"1", "2"}[r.IntN(2)]}, chance: big.NewRat(r.Int64N(whole), whole),
			}
			want, err := w.decide("a", q)
			if got := q.follow(c); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("seed %d, %+v:\ngraph   %+v\nentries %+v, %v\n%s", seed, q, got, want, err, draw(c))
			}
		}
	}
	t.Logf("%d of %d entry sets compile, %d with routers, %d with nested splitters; %d calls", compiled, cases, routed, nested, calls)
	if compiled < cases/4 || routed < cases/20 || nested < cases/50 {
		t.Error("too few of these entries make a chain worth comparing")
	}
}

// TestThen carries out two modifiers one after the other, and what they were made into, in either order that a proxy may have.
func TestThen(t *testing.T) {
	names := []string{"a", "A", "b", "c"}
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 2))
		start := headers{"a": {"0"}, "b": {"0"}}
		added := map[string]bool{}
		block := func(no int) *api.HeaderModifiers {
			h := &api.HeaderModifiers{Set: map[string]string{}, Add: map[string]string{}}
			for i, name := range r.Perm(len(names)) {
				if i == 2 {
					break
				}
				n := names[name]
				switch r.IntN(4) {
				case 0:
					h.Remove = append(h.Remove, n)
				case 1:
					h.Set[n] = fmt.Sprint("set", no)
				case 2:
					// Two values for one header are more than a list of modifiers can hold.
					if !added[strings.ToLower(n)] {
						added[strings.ToLower(n)], h.Add[n] = true, fmt.Sprint("add", no)
					}
				}
			}
			return h
		}
		x, y := block(1), block(2)
		if conflicting(x) || conflicting(y) {
			continue
		}
		want, got := maps.Clone(start), maps.Clone(start)
		want.change(x)
		want.change(y)
		both := then(x, y)
		got.change(both)
		if got.String() != want.String() || conflicting(both) {
			t.Fatalf("seed %d: %+v then %+v\nis %+v\ngot %s, want %s", seed, x, y, both, got, want)
		}
	}
}

// conflicting tells whether a list of modifiers says two things of one header, apart from setting it and adding to it.
func conflicting(h *api.HeaderModifiers) bool {
	said := map[string]bool{}
	for _, names := range [][]string{slices.Collect(maps.Keys(h.Set)), h.Remove} {
		for _, n := range names {
			if said[strings.ToLower(n)] {
				return true
			}
			said[strings.ToLower(n)] = true
		}
	}
	for n := range h.Add {
		if containsName(h.Remove, n) {
			return true
		}
	}
	return false
}
