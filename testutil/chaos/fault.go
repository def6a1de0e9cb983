package chaos

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"time"

	"github.com/parleymesh/parley/testutil/network"
)

// fault is something that goes wrong. It begins and says how to end it.
type fault struct {
	name   string
	weight int
	begin  func(w *world, r *rand.Rand) (what string, end func())
}

// faults is what can go wrong.
var faults = []fault{
	{"kill the leader", 4, func(w *world, r *rand.Rand) (string, func()) { return kill(w.leader(r)) }},
	{"kill a server", 2, func(w *world, r *rand.Rand) (string, func()) { return kill(one(r, w.servers())) }},
	{"kill any agent", 1, func(w *world, r *rand.Rand) (string, func()) { return kill(one(r, w.members)) }},
	{"terminate the leader", 2, func(w *world, r *rand.Rand) (string, func()) {
		m := w.leader(r)
		m.down = true
		if m.Running() {
			m.Signal(syscall.SIGCONT)
			m.Stop()
		}
		return m.Name, m.start
	}},
	{"cut off the leader", 4, func(w *world, r *rand.Rand) (string, func()) {
		m := w.leader(r)
		return m.Name, cut(w, []*member{m})
	}},
	{"cut off the leader with some", 3, func(w *world, r *rand.Rand) (string, func()) {
		m := w.leader(r)
		side := []*member{m}
		for _, c := range w.members {
			if !c.server && r.IntN(2) == 0 {
				side = append(side, c)
			}
		}
		return names(side), cut(w, side)
	}},
	{"split", 3, func(w *world, r *rand.Rand) (string, func()) {
		var side []*member
		for _, m := range w.members {
			if r.IntN(2) == 0 {
				side = append(side, m)
			}
		}
		return names(side), cut(w, side)
	}},
	{"deafen the leader", 2, func(w *world, r *rand.Rand) (string, func()) {
		m := w.leader(r)
		return m.Name, oneWay(w, w.members, []*member{m})
	}},
	{"silence the leader", 2, func(w *world, r *rand.Rand) (string, func()) {
		m := w.leader(r)
		return m.Name, oneWay(w, []*member{m}, w.members)
	}},
	{"cut one way", 2, func(w *world, r *rand.Rand) (string, func()) {
		all := w.servers()
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		a, b := all[0], all[1]
		return a.Name + " to " + b.Name, oneWay(w, []*member{a}, []*member{b})
	}},
	{"bad lines", 3, func(w *world, r *rand.Rand) (string, func()) {
		rule := badLine(r, 80*time.Millisecond)
		w.network.Between(hostsOf(w.members...), hostsOf(w.members...), rule)
		return fmt.Sprintf("%+v", rule), w.network.Heal
	}},
	{"a bad line to the leader", 4, func(w *world, r *rand.Rand) (string, func()) {
		m, rule := w.leader(r), badLine(r, 600*time.Millisecond)
		w.network.Between(hostsOf(m), hostsOf(w.members...), rule)
		return fmt.Sprintf("%s %+v", m.Name, rule), w.network.Heal
	}},
	{"stop the leader", 4, func(w *world, r *rand.Rand) (string, func()) { return stop(w.leader(r)) }},
	{"stop a server", 2, func(w *world, r *rand.Rand) (string, func()) { return stop(one(r, w.servers())) }},
	{"stop and go", 2, func(w *world, r *rand.Rand) (string, func()) {
		m := w.leader(r)
		for range 4 {
			_, goOn := stop(m)
			time.Sleep(time.Duration(r.Int64N(int64(700 * time.Millisecond))))
			goOn()
			time.Sleep(time.Duration(r.Int64N(int64(100 * time.Millisecond))))
		}
		return m.Name, func() {}
	}},
	{"kill all servers", 2, func(w *world, r *rand.Rand) (string, func()) {
		for _, s := range w.servers() {
			kill(s)
		}
		order := w.servers()
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		gap := time.Duration(r.Int64N(int64(400 * time.Millisecond)))
		return fmt.Sprintf("back as %s, %v apart", names(order), gap), func() {
			for _, s := range order {
				s.start()
				time.Sleep(gap)
			}
		}
	}},
	{"move a server", 2, func(w *world, r *rand.Rand) (string, func()) {
		m := one(r, w.servers())
		_, start := kill(m)
		return m.Name, func() {
			if err := m.host.Move(); err != nil {
				w.t.Error(err)
			}
			start()
		}
	}},
	{"fill a disk", 2, func(w *world, r *rand.Rand) (string, func()) {
		all := w.servers()
		m := all[len(all)-1]
		ballast := filepath.Join(m.disk, "ballast")
		// All of it, or as much as makes the log stop, or only the clients' writes.
		left := []int64{0, 16 << 20, 48 << 20}[r.IntN(3)]
		_ = m.host.WriteFile(ballast, make([]byte, smallDisk-left)) // which runs into the end of the disk
		return fmt.Sprintf("%s, %d MiB left", m.Name, left>>20), func() { _ = m.host.Remove(ballast) }
	}},
}

func one(r *rand.Rand, of []*member) *member { return of[r.IntN(len(of))] }

func names(of []*member) string {
	var out []string
	for _, m := range of {
		out = append(out, m.Name)
	}
	return fmt.Sprint(out)
}

func kill(m *member) (string, func()) {
	m.down = true
	if m.Running() {
		m.Kill()
	}
	return m.Name, m.start
}

func stop(m *member) (string, func()) {
	if m.Running() {
		m.Signal(syscall.SIGSTOP)
	}
	return m.Name, func() { goOn(m) }
}

func goOn(m *member) {
	if m.Running() {
		m.Signal(syscall.SIGCONT)
	}
}

// cut cuts some off from the others.
func cut(w *world, side []*member) func() {
	in := map[*member]bool{}
	for _, m := range side {
		in[m] = true
	}
	var others []*member
	for _, m := range w.members {
		if !in[m] {
			others = append(others, m)
		}
	}
	w.network.Between(hostsOf(side...), hostsOf(others...), network.Rule{Cut: true})
	return w.network.Heal
}

func oneWay(w *world, from, to []*member) func() {
	for _, a := range from {
		for _, b := range to {
			if a != b {
				w.network.Set(a.host, b.host, network.Rule{Cut: true})
			}
		}
	}
	return w.network.Heal
}

// badLine is a line that takes up to so long.
func badLine(r *rand.Rand, delay time.Duration) network.Rule {
	rule := network.Rule{Delay: time.Duration(r.Int64N(int64(delay)))}
	if r.IntN(2) == 0 {
		rule.Jitter = time.Duration(r.Int64N(int64(delay)))
	}
	if r.IntN(2) == 0 {
		rule.Loss = 0.2 * r.Float64()
	}
	if r.IntN(2) == 0 {
		rule.Reorder = 0.2 * r.Float64()
	}
	return rule
}

// heal ends everything that may be wrong.
func (w *world) heal() {
	w.network.Heal()
	for _, m := range w.members {
		if m.disk != "" {
			_ = m.host.Remove(filepath.Join(m.disk, "ballast"))
		}
		goOn(m)
		if m.down {
			m.start()
		}
	}
}
