package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/codec"
	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/server/watch"
)

func TestErrorsKeepTheirKindAcrossTheWire(t *testing.T) {
	for _, c := range []struct {
		err    error
		kind   error // nil: an error of its own
		status int
		text   string
	}{
		{verb.ErrNoLeader, verb.ErrNoLeader, 500, "No cluster leader"},
		{errors.Join(verb.ErrNoLeader, context.DeadlineExceeded), verb.ErrNoLeader, 500, "No cluster leader"},
		{verb.ErrNotLeader, verb.ErrNotLeader, 500, "not the leader"},
		{fmt.Errorf("%w: stopping", verb.ErrUnknownOutcome), verb.ErrUnknownOutcome, 500, "leadership ended before the write was known to be committed: stopping"},
		{fmt.Errorf("%w: %q", verb.ErrNoPath, "dc9"), verb.ErrNoPath, 500, `No path to datacenter: "dc9"`},
		{api.Errorf(403, "Permission denied"), nil, 403, "Permission denied"},
		{fmt.Errorf("put: %w", api.Errorf(413, "too large")), nil, 413, "put: too large"},
		{errors.New("broken"), nil, 500, "broken"},
		{context.Canceled, errGaveUp, 500, "the server is stopping: context canceled"},
		{context.DeadlineExceeded, errGaveUp, 500, "the server ran out of time: context deadline exceeded"},
	} {
		data, err := codec.Encode(&frame{Fault: faultOf(c.err)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = whole(func(f *frame) error { return codec.Decode(data, f) })
		if err == nil || err.Error() != c.text || api.StatusOf(err) != c.status || c.kind != nil && !errors.Is(err, c.kind) {
			t.Errorf("%v became %v with status %d", c.err, err, api.StatusOf(err))
		}
		if want := verb.Retriable(c.err); verb.Retriable(err) != want {
			t.Errorf("%v: retriable %v became %v", c.err, want, !want)
		}
	}
}

// sent collects the messages of a stream and gives them back encoded and decoded.
type sent struct{ messages [][]byte }

func (s *sent) send(f *frame) error {
	data, err := codec.Encode(f)
	s.messages = append(s.messages, data)
	return err
}

func (s *sent) receive(f *frame) error {
	if len(s.messages) == 0 {
		return io.EOF
	}
	data := s.messages[0]
	s.messages = s.messages[1:]
	return codec.Decode(data, f)
}

func TestLargeFramesTravelInPieces(t *testing.T) {
	var rows []*verb.Row
	for i := range 40 {
		rows = append(rows, &verb.Row{Key: fmt.Sprintf("%03d", i), Version: uint64(i), Value: strings.Repeat("x", chunk/8)})
	}
	rows = append(rows, &verb.Row{Key: "huge", Value: strings.Repeat("y", 3*chunk)})
	a := verb.Answer{Index: 9, Rows: rows, KnownLeader: true, Filtered: true}
	var wire sent
	if err := pieces(difference(nil, a, true), a, wire.send); err != nil {
		t.Fatal(err)
	}
	if len(wire.messages) < 6 {
		t.Errorf("%d messages", len(wire.messages))
	}
	for i, m := range wire.messages {
		if len(m) > chunk+1<<10 && i < len(wire.messages)-1 {
			t.Errorf("message %d has %d bytes", i, len(m))
		}
	}
	f, err := whole(wire.receive)
	if err != nil || !f.Reset || f.Index != 9 || !f.KnownLeader || !f.Filtered {
		t.Fatalf("%+v, %v", f, err)
	}
	for i, r := range f.rows() {
		got, err1 := r.JSON()
		want, err2 := rows[i].JSON()
		if r.Key != rows[i].Key || !bytes.Equal(got, want) || err1 != nil || err2 != nil {
			t.Fatalf("row %d differs", i)
		}
	}
	wire = sent{wire.messages[:0]}
	if err := pieces(difference(rows, verb.Answer{Index: 10, Rows: rows[1:]}, false), a, wire.send); err != nil {
		t.Fatal(err)
	}
	if f, err := whole(wire.receive); err != nil || f.Reset || !reflect.DeepEqual(f.Deletes, []string{"000"}) || len(f.Upserts) != 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

// A row that has no encoding ends the stream with the reason, also after pieces of the same frame.
func TestRowWithoutEncodingEndsTheStream(t *testing.T) {
	a := verb.Answer{Rows: []*verb.Row{
		{Key: "a", Value: strings.Repeat("x", chunk)}, {Key: "b", Value: strings.Repeat("x", chunk)}, {Key: "c", Value: make(chan int)},
	}}
	var wire sent
	err := pieces(difference(nil, a, true), a, wire.send)
	if err == nil || len(wire.messages) == 0 {
		t.Fatalf("%v after %d messages", err, len(wire.messages))
	}
	if err := wire.send(&frame{Fault: faultOf(err)}); err != nil {
		t.Fatal(err)
	}
	if _, err := whole(wire.receive); err == nil || !strings.Contains(err.Error(), `encode row "c"`) {
		t.Error(err)
	}
}

func TestLargeAnswersTravel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, b := newNetwork(), newBoard(t)
		for i := range 300 {
			b.set(fmt.Sprint(i, strings.Repeat("k", 16<<10)))
		}
		n.serve(t, "s1", b)
		c := n.client(t, known("s1"))
		a, err := c.Query(t.Context(), verb.Options{}, list{})
		if err != nil || len(a.Rows) != 301 {
			t.Fatal(len(a.Rows), err)
		}
		r := mustWatch(t, c, verb.Options{})
		if got := len(mustNext(t, r).Rows); got != 301 {
			t.Error(got)
		}
		b.set("one more")
		if got := len(mustNext(t, r).Rows); got != 302 {
			t.Error(got)
		}
	})
}

func FuzzFrame(f *testing.F) {
	a := verb.Answer{Index: 3, Rows: []*verb.Row{{Key: "a", Version: 1, Value: "x"}, {Key: "b", Version: 2, Value: "y"}}}
	var wire sent
	_ = pieces(difference(nil, a, true), a, wire.send)
	_ = wire.send(&frame{Index: 4, Deletes: []string{"a"}, Upserts: []row{{"c", 3, []byte(`"z"`)}}, More: true})
	_ = wire.send(&frame{Fault: faultOf(verb.ErrNoLeader)})
	_ = wire.send(&frame{Beat: true, KnownLeader: true})
	for _, m := range wire.messages {
		f.Add(m, wire.messages[0])
	}
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff}, []byte{0xc1})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		wire := sent{[][]byte{first, second}}
		view := watch.NewView[*verb.Row]()
		for {
			fr, err := whole(wire.receive)
			if err != nil {
				return
			}
			view.Apply(watch.Frame[*verb.Row]{Index: fr.Index, Reset: fr.Reset, Upserts: fr.rows(), Deletes: fr.Deletes})
			s, _ := view.State()
			for i, r := range s.Rows {
				if i > 0 && s.Rows[i-1].Key > r.Key {
					t.Fatal("rows are not in order")
				}
				_ = r.Decode(func() any { return new(string) })
			}
		}
	})
}
