package envoy

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// validate wants all resources to keep Envoy's own rules, down to the messages that are packed into others.
func validate(t *testing.T, r *Resources) {
	t.Helper()
	for typeURL := range r.ByType {
		for _, name := range r.Names(typeURL) {
			if n := validateMessage(t, name, r.ByType[typeURL][name].Body); n == 0 {
				t.Errorf("%s: nothing was validated", name)
			}
		}
	}
}

// validateMessage returns how many messages it has validated.
func validateMessage(t *testing.T, name string, m proto.Message) int {
	t.Helper()
	if packed, ok := m.(*anypb.Any); ok {
		inner, err := packed.UnmarshalNew()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return 0
		}
		n := 1
		if v, ok := inner.(interface{ ValidateAll() error }); ok {
			if err := v.ValidateAll(); err != nil {
				t.Errorf("%s: %s: %v", name, packed.GetTypeUrl(), err)
			}
		}
		return n + validateMessage(t, name, inner)
	}
	n := 0
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap() && f.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				n += validateMessage(t, name, v.Message().Interface())
				return true
			})
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				n += validateMessage(t, name, v.List().Get(i).Message().Interface())
			}
		case !f.IsMap() && !f.IsList() && f.Message() != nil:
			n += validateMessage(t, name, v.Message().Interface())
		}
		return true
	})
	return n
}
