package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ear remembers what an agent has heard.
type ear struct {
	mu    sync.Mutex
	heard []string
}

func (e *ear) hear(_ uint64, data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, string(data))
}

func (e *ear) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := slices.Sorted(slices.Values(e.heard))
	return out
}

func listening(e *ear) func(*Options) { return func(o *Options) { o.Heard = e.hear } }

func TestBroadcastReachesEverybodyOnce(t *testing.T) {
	inLab(t, func(l *lab) {
		ears := make([]ear, 5)
		var pools []*Pool
		for i := range ears {
			pools = append(pools, l.start(fmt.Sprintf("s%d", i+1), listening(&ears[i])))
			if i > 0 {
				l.join(pools[i], "s1")
			}
		}
		var want []string
		for i, p := range pools {
			for n := range 10 {
				text := fmt.Sprintf("%d-%d", i, n)
				want = append(want, text)
				if err := p.Broadcast([]byte(text)); err != nil {
					t.Fatal(err)
				}
			}
		}
		// What gossip happens to tell nobody, two agents that compare all they know tell one another, every half minute.
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		for i := range ears {
			if got := ears[i].all(); !slices.Equal(got, want) {
				t.Errorf("s%d heard %d of %d: %v", i+1, len(got), len(want), got)
			}
		}
		// Who comes later hears only what is told later.
		var late ear
		l.join(l.start("late", listening(&late)), "s1")
		time.Sleep(time.Minute)
		if got := late.all(); len(got) != 0 {
			t.Errorf("the newcomer heard %v", got)
		}
		if err := pools[2].Broadcast([]byte("welcome")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if got := late.all(); !slices.Equal(got, []string{"welcome"}) {
			t.Errorf("the newcomer heard %v", got)
		}
	})
}

func TestBroadcastIsBounded(t *testing.T) {
	inLab(t, func(l *lab) {
		// Nobody listens, and what nobody listens to stops nobody.
		p := l.start("s1")
		if err := p.Broadcast(bytes.Repeat([]byte("x"), broadcastLimit+1)); err == nil {
			t.Error("too much was taken")
		}
		for range 3 * heardQueue {
			if err := p.Broadcast([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if err := p.Broadcast([]byte("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("after closing: %v", err)
		}
	})
}
