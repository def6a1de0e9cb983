package rpc

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/server/watch"
)

// viewKey is what makes two watches the same: one stream serves both. The token is in it, since rows are shown by token.
type viewKey struct {
	datacenter string
	tenant     api.Tenant
	token      string
	kind       string
	payload    string
	mode       verb.Mode
}

func keyOf(e verb.Envelope, mode verb.Mode) viewKey {
	return viewKey{e.Datacenter, e.Tenant, e.Token, e.Type, string(e.Payload), mode}
}

// shared has one stream to a server for each query that anybody here follows.
type shared struct {
	views *watch.Views[viewKey, *verb.Row]

	mu    sync.Mutex // guards what follows
	feeds map[viewKey]*feed
}

func newShared() *shared {
	return &shared{views: watch.NewViews[viewKey, *verb.Row](), feeds: map[viewKey]*feed{}}
}

// open returns a place in the view of a query. Run keeps the view up to date if nobody does yet.
func (s *shared) open(key viewKey, run func(ctx context.Context, f *feed)) *sharedReader {
	return &sharedReader{shared: s, key: key, in: s.views.Open(key, func(ctx context.Context, view *watch.View[*verb.Row]) {
		f := &feed{view: view, heard: time.Now(), lost: time.Now()}
		s.mu.Lock()
		s.feeds[key] = f
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.feeds[key] == f {
				delete(s.feeds, key)
			}
		}()
		run(ctx, f)
	})}
}

// feed returns what is known of a query besides its rows, or nil when nobody follows it.
func (s *shared) feed(key viewKey) *feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.feeds[key]
}

func (s *shared) close() { s.views.Close() }

// feed is a view with what the server last said of itself.
type feed struct {
	view *watch.View[*verb.Row]

	mu          sync.Mutex // guards what follows
	connected   bool
	heard       time.Time // the last word of a server; before the first, when it began
	lost        time.Time // when it was last known that no stream stands
	knownLeader bool
	lastContact time.Duration
	filtered    bool
	err         error // why it is not connected
}

// hear takes over what a frame says besides rows.
func (f *feed) hear(fr *frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.connected, f.heard, f.err = true, time.Now(), nil
	f.knownLeader, f.lastContact = fr.KnownLeader, fr.LastContact
	if !fr.Beat {
		f.filtered = fr.Filtered
	}
}

// lose notes that the stream has ended.
func (f *feed) lose(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.connected {
		f.lost = time.Now()
	}
	f.connected, f.err = false, err
}

// silence is for how long no stream has stood, and why; 0 while one does.
func (f *feed) silence() (time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.connected {
		return 0, nil
	}
	return time.Since(f.lost), f.err
}

// contact says how old the rows may be.
func (f *feed) contact() (knownLeader bool, last time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.connected {
		return f.knownLeader, f.lastContact
	}
	return false, f.lastContact + time.Since(f.heard)
}

// answer makes an answer of the rows.
func (f *feed) answer(s watch.State[*verb.Row]) verb.Answer {
	a := verb.Answer{Index: s.Index, Rows: s.Rows}
	a.KnownLeader, a.LastContact = f.contact()
	f.mu.Lock()
	defer f.mu.Unlock()
	a.Filtered = f.filtered
	return a
}

// sharedReader is one reader's place in a shared view.
type sharedReader struct {
	shared *shared
	key    viewKey
	in     *watch.Reader[*verb.Row]
}

var _ verb.Reader = (*sharedReader)(nil)

// Next implements verb.Reader.
func (r *sharedReader) Next(ctx context.Context) (verb.Answer, error) {
	s, err := r.in.Next(ctx, watch.Bounds{})
	return r.answer(ctx, s, err)
}

// wait returns the first answer whose index is above min.
func (r *sharedReader) wait(ctx context.Context, min uint64) (verb.Answer, error) {
	s, err := r.in.Wait(ctx, min, watch.Bounds{})
	return r.answer(ctx, s, err)
}

// known returns the rows as they were last told, if they ever were.
func (r *sharedReader) known() (verb.Answer, bool) {
	s, ok := r.in.State()
	if !ok || s.Err != nil {
		return verb.Answer{}, false
	}
	a, err := r.answer(context.Background(), s, nil)
	return a, err == nil
}

func (r *sharedReader) answer(ctx context.Context, s watch.State[*verb.Row], err error) (verb.Answer, error) {
	if err != nil && ctx.Err() == nil {
		err = net.ErrClosed // only the closing of all views ends a wait before its context
	}
	if err == nil {
		err = s.Err
	}
	if err != nil {
		return verb.Answer{}, err
	}
	f := r.shared.feed(r.key)
	if f == nil { // it has ended in this moment
		f = &feed{heard: time.Now()}
	}
	return f.answer(s), nil
}

// Contact says how old what the reader shows may be.
func (r *sharedReader) Contact() (knownLeader bool, last time.Duration) {
	if f := r.shared.feed(r.key); f != nil {
		return f.contact()
	}
	return false, 0
}

// Close implements verb.Reader.
func (r *sharedReader) Close() { r.in.Close() }
