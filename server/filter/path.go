package filter

import (
	"fmt"
	"reflect"

	"github.com/hashicorp/go-bexpr/grammar"
)

// path leads from a scope to the values that a selector names: one, or, through a list of objects, several.
type path struct {
	local int // the bound name that it begins with; below zero for the row
	steps []step
	typ   reflect.Type // of what it leads to
}

// A step enters a field of a struct, a key of a map or, when each is set, every element of a list.
type step struct {
	field []int
	key   string
	each  bool
}

var anyType = reflect.TypeFor[any]()

// resolve judges a selector by the types on its way.
func resolve(sel grammar.Selector, n names) (path, error) {
	parts := sel.Path
	p := path{local: -1, typ: n.row}
	for i := len(n.bound) - 1; i >= 0; i-- {
		if len(parts) > 0 && n.bound[i].name == parts[0] {
			p.local, p.typ, parts = i, n.bound[i].typ, parts[1:]
			break
		}
	}
	for _, part := range parts {
		if err := p.enter(part); err != nil {
			return path{}, fmt.Errorf("selector %q is not valid: %w", sel, err)
		}
	}
	return p, nil
}

// enter adds the steps that lead from the type so far to part.
func (p *path) enter(part string) error {
	typ := deref(p.typ)
	switch typ.Kind() {
	case reflect.Struct:
		f, ok := typ.FieldByName(part)
		if !ok || !f.IsExported() {
			return fmt.Errorf("no field %q", part)
		}
		p.steps = append(p.steps, step{field: f.Index})
		p.typ = f.Type
		return nil
	case reflect.Map:
		if typ.Key().Kind() != reflect.String {
			return fmt.Errorf("no map of names")
		}
		p.steps = append(p.steps, step{key: part})
		p.typ = typ.Elem()
		return nil
	case reflect.Interface: // opaque configuration: judged when it is seen
		p.steps = append(p.steps, step{key: part})
		p.typ = anyType
		return nil
	case reflect.Slice, reflect.Array:
		if deref(typ.Elem()).Kind() != reflect.Struct {
			return fmt.Errorf("no list of objects")
		}
		p.steps = append(p.steps, step{each: true})
		p.typ = typ.Elem()
		return p.enter(part)
	}
	return fmt.Errorf("nothing is inside")
}

// any reports whether one of the values passes the test. Where the way breaks off, the test is told that there is none.
func (p path) any(s scope, test func(v reflect.Value, present bool) bool) bool {
	v := s.row
	if p.local >= 0 {
		v = s.locals[p.local]
	}
	return walk(v, p.steps, test)
}

func walk(v reflect.Value, steps []step, test func(reflect.Value, bool) bool) bool {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() {
		return test(v, false)
	}
	if len(steps) == 0 {
		return test(v, true)
	}
	st := steps[0]
	switch {
	case st.each:
		for i := range v.Len() {
			if walk(v.Index(i), steps[1:], test) {
				return true
			}
		}
		return false
	case st.field != nil:
		f, err := v.FieldByIndexErr(st.field)
		if err != nil {
			return test(reflect.Value{}, false)
		}
		return walk(f, steps[1:], test)
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		return walk(v.MapIndex(reflect.ValueOf(st.key).Convert(v.Type().Key())), steps[1:], test)
	}
	return test(reflect.Value{}, false)
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}
