package http

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestCrowd gives memory back when a crowd of readers has gone, and not when it has only been woken.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var released atomic.Int32
		w := &waiters{max: 1 << 20, maxPerClient: 1 << 20}
		w.dispersal.release = func() { released.Add(1) }
		come := func(n int) (all []func()) {
			for range n {
				leave, _, err := w.enter("127.0.0.1:1")
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, leave)
			}
			return all
		}
		disperse := func(all []func()) {
			for _, leave := range all {
				leave()
			}
		}
		few := come(crowd / 2)
		disperse(few)
		time.Sleep(time.Minute)
		if released.Load() != 0 {
			t.Error("memory was given back for a few")
		}
		all := come(2 * crowd)
		disperse(all)
		all = come(2 * crowd) // woken, and back
		time.Sleep(time.Minute)
		if released.Load() != 0 {
			t.Error("memory was given back although all are there again")
		}
		disperse(all)
		time.Sleep(calmTime + time.Second)
		if released.Load() != 1 {
			t.Errorf("after a crowd has gone, memory was given back %d times", released.Load())
		}
		time.Sleep(time.Hour)
		if released.Load() != 1 {
			t.Errorf("memory was given back %d times for one crowd", released.Load())
		}
		disperse(come(2 * crowd))
		w.close()
		time.Sleep(time.Minute)
		if released.Load() != 1 {
			t.Error("memory was given back after the end")
		}
	})
}
