package watch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/parleymesh/parley/server/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type row string

func (r row) RowKey() string     { return string(r) }
func (r row) RowVersion() uint64 { return 1 }

// fed returns views of which each begins at index 5 and goes on as it is told.
func fed() (views *watch.Views[string, row], tell chan uint64, feed watch.Feed[row]) {
	tell = make(chan uint64)
	return watch.NewViews[string, row](), tell, func(ctx context.Context, v *watch.View[row]) {
		v.Set(5, []row{"a"})
		for {
			select {
			case index := <-tell:
				v.Set(index, []row{"a", row(time.Now().String())})
			case <-ctx.Done():
				return
			}
		}
	}
}

// Whatever ends a wait says so, and the wait returns what is known by then.
func TestWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		views, tell, feed := fed()
		defer views.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		for _, c := range []struct {
			name   string
			bounds watch.Bounds
			end    func()
			want   error
			index  uint64
		}{
			{"a change", watch.Bounds{Until: time.Now().Add(time.Hour), Ended: ended}, func() { tell <- 6 }, nil, 6},
			{"the time", watch.Bounds{Until: time.Now().Add(time.Hour), Ended: ended}, func() {}, context.DeadlineExceeded, 6},
			{"a change without bounds", watch.Bounds{}, func() { tell <- 7 }, nil, 7},
			{"the bound's end", watch.Bounds{Ended: ended}, func() { close(ended) }, watch.ErrEnded, 7},
			{"the context", watch.Bounds{}, cancel, context.Canceled, 7},
		} {
			r := views.Open("k", feed)
			if _, err := r.Wait(t.Context(), 0, watch.Bounds{}); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				before, _ := r.State()
				s, err := r.Wait(ctx, before.Index, c.bounds)
				if !errors.Is(err, c.want) || s.Index != c.index {
					t.Errorf("%s: index %d, %v; want %d, %v", c.name, s.Index, err, c.index, c.want)
				}
			}()
			synctest.Wait()
			c.end()
			<-done
			r.Close()
			r.Close() // which is nothing more
		}
	})
}

func TestCloseEndsEveryWait(t *testing.T) {
	views, _, feed := fed()
	r := views.Open("k", feed)
	defer r.Close()
	if _, err := r.Next(t.Context(), watch.Bounds{}); err != nil {
		t.Fatal(err)
	}
	go views.Close()
	if _, err := r.Next(t.Context(), watch.Bounds{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	views.Close()
}

// A view can be looked at without becoming its reader, for as long as there is one.
func TestStateOfAView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		views, _, feed := fed()
		defer views.Close()
		if _, ok := views.State("k"); ok || views.Len() != 0 {
			t.Error("there is a view that nobody has opened")
		}
		r := views.Open("k", feed)
		synctest.Wait()
		if s, ok := views.State("k"); !ok || s.Index != 5 {
			t.Errorf("%+v, %v", s, ok)
		}
		r.Close()
		if _, ok := views.State("k"); !ok {
			t.Error("a view is gone as soon as its reader")
		}
		time.Sleep(time.Minute)
		if _, ok := views.State("k"); ok || views.Len() != 0 {
			t.Error("a view stays without readers")
		}
	})
}
