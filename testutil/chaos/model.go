package chaos

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"
)

// The keys of the public API as a register with a lock, for each key by itself.

type kind string

const (
	get     kind = "get"
	put     kind = "put"
	cas     kind = "cas" // only if the key still has what was read, told by its index; nothing: only if there is none
	remove  kind = "delete"
	acquire kind = "acquire"
	release kind = "release"
)

// input is what was asked. Every value is written once, so that a value tells which write was seen.
type input struct {
	Kind    kind   `json:"kind"`
	Key     string `json:"key"`
	Mode    string `json:"mode,omitempty"` // of a read
	Value   string `json:"value,omitempty"`
	Old     string `json:"old,omitempty"`     // of a cas: the value that was there; empty for none
	Session string `json:"session,omitempty"` // of acquire and release
}

// output is what was answered. An answer that never came is unknown: the operation has been carried out, or will be, or never.
type output struct {
	Unknown bool   `json:"unknown,omitempty"`
	OK      bool   `json:"ok,omitempty"`
	Value   string `json:"value,omitempty"`
	Holder  string `json:"holder,omitempty"`
	Index   uint64 `json:"index,omitempty"`
	Old     bool   `json:"old,omitempty"` // a client agent says that its answer may be old
	Err     string `json:"err,omitempty"`
}

// cell is a key's state: empty for none.
type cell struct{ value, holder string }

// step is what the key does. Writes with an unknown outcome may come at any later time, so also after everything that anybody saw.
func (c cell) step(in input, out output) (bool, cell) {
	switch in.Kind {
	case get:
		return c.value == out.Value && c.holder == out.Holder, c
	case put:
		return true, cell{in.Value, c.holder}
	case remove:
		return true, cell{}
	}
	can, next := false, c
	switch in.Kind {
	case cas:
		can, next = c.value == in.Old, cell{in.Value, c.holder}
	case acquire:
		can, next = c.holder == "" || c.holder == in.Session, cell{in.Value, in.Session}
	case release:
		can, next = c.holder == in.Session, cell{in.Value, ""}
	}
	if !can {
		return out.Unknown || !out.OK, c
	}
	return out.Unknown || out.OK, next
}

var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		var keys []string
		by := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(input).Key
			if by[key] == nil {
				keys = append(keys, key)
			}
			by[key] = append(by[key], o)
		}
		var out [][]porcupine.Operation
		for _, key := range keys {
			out = append(out, by[key])
		}
		return out
	},
	Init: func() any { return cell{} },
	Step: func(state, in, out any) (bool, any) {
		ok, next := state.(cell).step(in.(input), out.(output))
		return ok, next
	},
	DescribeOperation: func(in, out any) string {
		i, o := in.(input), out.(output)
		s := fmt.Sprintf("%s %s %s %s%s", i.Mode, i.Kind, i.Key, i.Value, i.Session)
		switch {
		case o.Unknown:
			return s + ": not known"
		case i.Kind == get:
			return fmt.Sprintf("%s: %q held by %q at %d", s, o.Value, o.Holder, o.Index)
		}
		return fmt.Sprintf("%s (old %q): %v", s, i.Old, o.OK)
	},
	DescribeState: func(s any) string { return fmt.Sprintf("%+v", s) },
}

// checkTime bounds the search for an order. What takes longer is not decided, and counts as a failure.
const checkTime = 2 * time.Minute

// operations are those of the history that must have an order.
func operations(ops []operation) []porcupine.Operation {
	var out []porcupine.Operation
	end := int64(0)
	for _, o := range ops {
		end = max(end, int64(o.Returned)+1)
	}
	for _, o := range ops {
		if o.In.Kind == get && (o.In.Mode == stale || o.Out.Unknown) {
			continue
		}
		p := porcupine.Operation{ClientId: o.Client, Input: o.In, Output: o.Out, Call: int64(o.Called), Return: int64(o.Returned)}
		if o.Out.Unknown {
			p.Return = end
		}
		out = append(out, p)
	}
	return out
}
