package core

import (
	"fmt"
	"net/http"
	"reflect"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/codec"
	"github.com/parleymesh/parley/server/verb"
)

// Types is every command and query there is, by name.
type Types struct {
	commands map[string]reflect.Type
	queries  map[string]reflect.Type
}

// NewTypes builds the tables from one zero value of each. Two of one name are a mistake in the program.
func NewTypes(commands []verb.Command, queries []verb.Query) Types {
	t := Types{commands: map[string]reflect.Type{}, queries: map[string]reflect.Type{}}
	for _, c := range commands {
		add(t.commands, c.CommandType(), c)
	}
	for _, q := range queries {
		add(t.queries, q.QueryType(), q)
	}
	return t
}

func add(table map[string]reflect.Type, name string, v any) {
	if _, ok := table[name]; ok {
		panic(fmt.Sprintf("core: two types called %q", name))
	}
	typ := reflect.TypeOf(v)
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	table[name] = typ
}

func (t Types) command(e verb.Envelope) (verb.Command, error) {
	v, err := decode(t.commands, "command", e, codec.Decode)
	if err != nil {
		return nil, err
	}
	return v.(verb.Command), nil
}

// admit refuses a command that the servers could not read from the log, where it would stop all of them for good.
func (t Types) admit(e verb.Envelope) error {
	_, err := decode(t.commands, "command", e, codec.Admit)
	return err
}

func (t Types) query(e verb.Envelope) (verb.Query, error) {
	v, err := decode(t.queries, "query", e, codec.Decode)
	if err != nil {
		return nil, err
	}
	return v.(verb.Query), nil
}

func decode(table map[string]reflect.Type, what string, e verb.Envelope, read func([]byte, any) error) (any, error) {
	if e.Version != verb.EnvelopeVersion {
		return nil, api.Errorf(http.StatusBadRequest, "envelope of version %d, this release reads %d", e.Version, verb.EnvelopeVersion)
	}
	typ, ok := table[e.Type]
	if !ok {
		return nil, api.Errorf(http.StatusBadRequest, "unknown %s %q: it comes from another release", what, e.Type)
	}
	v := reflect.New(typ)
	if err := read(e.Payload, v.Interface()); err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "%s %q: %v", what, e.Type, err)
	}
	return v.Interface(), nil
}
