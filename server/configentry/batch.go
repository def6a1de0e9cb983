package configentry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// Change writes an entry or deletes one. With CAS it does so only if the entry's ModifyIndex is still that one, which is 0 for an
// entry that is not there.
type Change struct {
	Entry      []byte  `json:",omitempty"` // the public JSON of an entry to write
	Kind, Name string  `json:",omitempty"` // of one to delete, when there is no Entry
	CAS        *uint64 `json:",omitempty"`
}

// NewChange returns the change that writes an entry.
func NewChange(e api.ConfigEntry, cas *uint64) (Change, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return Change{}, api.Errorf(http.StatusBadRequest, "config entry %s/%s: %v", e.EntryKind(), e.EntryName(), err)
	}
	return Change{Entry: data, CAS: cas}, nil
}

// decode returns the change in the form in which it is judged.
func (c Change) decode() (change, error) {
	if c.Entry == nil {
		return change{entryKey{c.Kind, c.Name}, nil}, nil
	}
	e, err := Put{Entry: c.Entry}.entry()
	if err != nil {
		return change{}, err
	}
	return change{entryKey{e.EntryKind(), e.EntryName()}, e}, nil
}

// check judges a change by itself.
func (c Change) check() error {
	if c.Entry == nil {
		return Delete{Kind: c.Kind, Name: c.Name}.Validate()
	}
	return Put{Entry: c.Entry}.Validate()
}

// CheckChanges judges changes by themselves, without any state, and returns all that is wrong with them.
func CheckChanges(changes []Change) []api.EntryProblem {
	var out []api.EntryProblem
	seen := map[entryKey]int{}
	for i, c := range changes {
		d, err := c.decode()
		if err == nil {
			err = c.check()
		}
		if before, twice := seen[d.entryKey]; err == nil && twice {
			err = refusal("it is changed twice, see change %d", before)
		}
		if err != nil {
			out = append(out, api.EntryProblem{Change: i, Kind: d.kind, Name: d.name, Message: fmt.Sprint(err)})
		}
		seen[d.entryKey] = i
	}
	return out
}

// decodeAll decodes the changes of a batch.
func decodeAll(changes []Change) ([]change, error) {
	out := make([]change, len(changes))
	for i, c := range changes {
		var err error
		if out[i], err = c.decode(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// checkAll is CheckChanges for who wants one error.
func checkAll(changes []Change) error {
	if wrong := CheckChanges(changes); len(wrong) > 0 {
		return refusal("%s/%s: %s", wrong[0].Kind, wrong[0].Name, wrong[0].Message)
	}
	return nil
}

// needs are the permissions for all changes.
func needs(changes []Change) []api.Permission {
	decoded, err := decodeAll(changes)
	if err != nil {
		return []api.Permission{{Resource: "operator", Access: api.Write}} // as for Put
	}
	var out []api.Permission
	for _, c := range decoded {
		out = append(out, permissions(c.kind, c.name, api.Write)...)
	}
	return out
}

// judge returns the changes as a proposal, and all that stands against it. The changes' own shape is not judged again.
func judge(tx *state.Tx, changes []Change) (*proposal, []api.EntryProblem, error) {
	decoded, err := decodeAll(changes)
	if err != nil {
		return nil, nil, err
	}
	p := propose(tx, decoded...)
	refused := p.admit()
	for i, c := range decoded {
		if cas := changes[i].CAS; cas != nil && *cas != modifyIndex(state.ConfigEntry(tx, c.kind, c.name)) {
			refused[i] = refusal("it has been changed by somebody else meanwhile: its index is not %d; read it and try again", *cas)
		}
	}
	var out []api.EntryProblem
	for i, c := range decoded {
		if refused[i] != nil {
			out = append(out, api.EntryProblem{Change: i, Kind: c.kind, Name: c.name, Message: fmt.Sprint(refused[i])})
		}
	}
	return p, out, nil
}

// Batch makes several changes at once, or, if something stands against one of them, none. Its result is []api.EntryProblem: what stands
// against it.
type Batch struct {
	Changes []Change
	Now     time.Time `json:",omitzero"` // as in Put
}

// CommandType implements verb.Command.
func (Batch) CommandType() string { return "configentry.batch" }

// Validate implements verb.Command.
func (b Batch) Validate() error { return checkAll(b.Changes) }

// Needs implements verb.Command.
func (b Batch) Needs(*state.Tx) []api.Permission { return needs(b.Changes) }

// Stamp implements verb.Stamped.
func (b Batch) Stamp(s verb.Stamp) verb.Command {
	b.Now = s.Time
	return b
}

// Apply implements verb.Command.
func (b Batch) Apply(tx *state.Tx) (any, error) {
	p, wrong, err := judge(tx, b.Changes)
	if err != nil || len(wrong) > 0 {
		return wrong, err
	}
	p.write(b.Now)
	return []api.EntryProblem{}, nil
}

// Rehearse judges changes as Batch would, and makes none. The rows are *api.EntryProblem: what stands against them.
type Rehearse struct{ Changes []Change }

// QueryType implements verb.Query.
func (Rehearse) QueryType() string { return "configentry.rehearse" }

// Validate implements verb.Query.
func (q Rehearse) Validate() error { return checkAll(q.Changes) }

// Needs implements verb.Query.
func (q Rehearse) Needs() []api.Permission { return needs(q.Changes) }

// NewValue implements verb.Query.
func (Rehearse) NewValue() any { return new(api.EntryProblem) }

// Read implements verb.Query.
func (q Rehearse) Read(tx *state.Tx) ([]*verb.Row, error) {
	_, wrong, err := judge(tx, q.Changes)
	if err != nil {
		return nil, err
	}
	rows := make([]*verb.Row, len(wrong))
	for i := range wrong {
		rows[i] = &verb.Row{Key: fmt.Sprintf("%08d", wrong[i].Change), Version: 1, Value: &wrong[i]}
	}
	return rows, nil
}
