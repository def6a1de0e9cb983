package hcl

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// Decoder decodes a tree into Go values. The zero Decoder refuses every unknown key.
//
// Keys match fields without regard to case and underscores, so local_bind_port and LocalBindPort are the
// same. A block where a list is wanted is a list of one, and a list of one block where a struct or map is wanted is that block.
// What is decoded adds to what is there: a list is appended to, a map's keys are set one by one, a struct keeps
// what is not mentioned. All complaints are returned together, joined.
type Decoder struct {
	// Path is where the tree stands in its file, for messages.
	Path string
	// Unknown is asked about a key that no field has; true means the caller knows it and it is no error.
	Unknown func(path string, v *Value) bool
	// Set is told of every key that filled a field, with its documented path and where it stands.
	Set func(path string, pos Pos)
}

// Decode fills the value that dst points to.
func (d *Decoder) Decode(v *Value, dst any) error {
	return d.decode(d.Path, v, reflect.ValueOf(dst).Elem())
}

// Decode fills dst, a pointer, from v and refuses every key that dst does not have.
func Decode(v *Value, dst any) error { return new(Decoder).Decode(v, dst) }

var (
	durationType = reflect.TypeFor[time.Duration]()
	valueType    = reflect.TypeFor[*Value]()
)

func (d *Decoder) decode(path string, v *Value, dst reflect.Value) error {
	if dst.Type() == valueType { // to be decoded later, once its type is known
		dst.Set(reflect.ValueOf(v))
		return nil
	}
	if v.Kind == Null {
		return nil
	}
	if dst.Kind() == reflect.Pointer {
		if dst.IsNil() {
			dst.Set(reflect.New(dst.Type().Elem()))
		}
		return d.decode(path, v, dst.Elem())
	}
	if dst.Type() == durationType {
		return duration(path, v, dst)
	}
	if done, err := unmarshal(path, v, dst); done {
		return err
	}
	switch dst.Kind() {
	case reflect.Struct:
		return d.decodeStruct(path, v, dst)
	case reflect.Map:
		return d.decodeMap(path, v, dst)
	case reflect.Slice:
		return d.decodeSlice(path, v, dst)
	case reflect.Interface:
		dst.Set(reflect.ValueOf(v.Any()))
		return nil
	}
	return scalar(path, v, dst)
}

// unmarshal lets a type decode itself where it knows how. A struct with keys goes by those instead, so that
// what is wrong in it is told with its line.
func unmarshal(path string, v *Value, dst reflect.Value) (done bool, err error) {
	if text, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok && v.Kind == String {
		err = text.UnmarshalText([]byte(v.Text))
	} else if j, ok := dst.Addr().Interface().(json.Unmarshaler); ok && !hasKeys(dst.Type()) {
		var src []byte
		if src, err = v.MarshalJSON(); err == nil {
			err = j.UnmarshalJSON(src)
		}
	} else {
		return false, nil
	}
	if err != nil {
		return true, Errorf(v.Pos, "%s: %v", path, err)
	}
	return true, nil
}

func hasKeys(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && len(namesOf(t).fields) > 0
}

func duration(path string, v *Value, dst reflect.Value) error {
	if v.Kind != String {
		return mismatch(path, v, `a duration such as "10s"`)
	}
	n, err := time.ParseDuration(v.Text)
	if err != nil {
		return mismatch(path, v, `a duration such as "10s"`)
	}
	dst.SetInt(int64(n))
	return nil
}

func scalar(path string, v *Value, dst reflect.Value) error {
	switch dst.Kind() {
	case reflect.String:
		if v.Kind != String {
			return mismatch(path, v, "a string")
		}
		dst.SetString(v.Text)
	case reflect.Bool:
		if v.Kind != Bool {
			return mismatch(path, v, "true or false")
		}
		dst.SetBool(v.True)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := v.int()
		if v.Kind != Number || err != nil {
			return mismatch(path, v, "a whole number")
		}
		if dst.OverflowInt(n) {
			return Errorf(v.Pos, "%s: %s is out of range", path, v.Text)
		}
		dst.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := v.int()
		if v.Kind != Number || err != nil || n < 0 {
			return mismatch(path, v, "a whole number that is not negative")
		}
		if dst.OverflowUint(uint64(n)) {
			return Errorf(v.Pos, "%s: %s is out of range", path, v.Text)
		}
		dst.SetUint(uint64(n))
	case reflect.Float32, reflect.Float64:
		f, err := v.float()
		if v.Kind != Number || err != nil {
			return mismatch(path, v, "a number")
		}
		dst.SetFloat(f)
	default:
		return fmt.Errorf("%s: a field of type %s cannot be read from a file", path, dst.Type())
	}
	return nil
}

func (d *Decoder) decodeStruct(path string, v *Value, dst reflect.Value) error {
	object, err := oneObject(path, v)
	if err != nil {
		return err
	}
	known := namesOf(dst.Type())
	seen := make(map[string]Field)
	var errs []error
	for _, f := range object.Fields {
		errs = append(errs, d.field(path, f, dst, known, seen))
	}
	return errors.Join(errs...)
}

func (d *Decoder) field(path string, f Field, dst reflect.Value, known names, seen map[string]Field) error {
	field, ok := known.fields[Fold(f.Key)]
	if !ok {
		return d.unknown(join(path, f.Key), f, known)
	}
	inner := join(path, field.name)
	if before, twice := seen[field.name]; twice {
		return Errorf(f.Pos, "%s is already set in line %d, as %s; remove one of them", join(path, f.Key), before.Pos.Line, before.Key)
	}
	seen[field.name] = f
	if d.Set != nil && f.Value.Kind != Null {
		d.Set(inner, f.Pos)
	}
	to := dst.FieldByIndex(field.index)
	if more, ok := known.fields[Fold(field.name+"s")]; ok && f.Value.Kind == List && f.Value.block && to.Kind() != reflect.Slice {
		return Errorf(f.Value.Items[1].Pos, "%s is already set in line %d; several go into %s", inner, f.Value.Pos.Line, join(path, more.name))
	}
	return d.decode(inner, f.Value, to)
}

func (d *Decoder) unknown(path string, f Field, known names) error {
	if d.Unknown != nil && d.Unknown(path, f.Value) {
		return nil
	}
	if near := Nearest(f.Key, known.display); near != "" {
		return Errorf(f.Pos, "unknown key %s (did you mean %s?)", path, near)
	}
	return Errorf(f.Pos, "unknown key %s", path)
}

func (d *Decoder) decodeMap(path string, v *Value, dst reflect.Value) error {
	object, err := oneObject(path, v)
	if err != nil {
		return err
	}
	if dst.IsNil() {
		dst.Set(reflect.MakeMapWithSize(dst.Type(), len(object.Fields)))
	}
	var errs []error
	for _, f := range object.Fields {
		elem := reflect.New(dst.Type().Elem()).Elem()
		errs = append(errs, d.decode(join(path, f.Key), f.Value, elem))
		dst.SetMapIndex(reflect.ValueOf(f.Key).Convert(dst.Type().Key()), elem)
	}
	return errors.Join(errs...)
}

func (d *Decoder) decodeSlice(path string, v *Value, dst reflect.Value) error {
	if v.Kind == String && dst.Type().Elem().Kind() == reflect.Uint8 { // as JSON has bytes
		data, err := base64.StdEncoding.DecodeString(v.Text)
		if err != nil {
			return mismatch(path, v, "bytes in base64")
		}
		dst.SetBytes(data)
		return nil
	}
	items := v.Items
	if v.Kind == Object {
		items = []*Value{v}
	} else if v.Kind != List {
		return mismatch(path, v, `a list such as ["a", "b"]`)
	}
	before := dst.Len()
	out := reflect.MakeSlice(dst.Type(), before+len(items), before+len(items)) // never write into an array shared with a default
	reflect.Copy(out, dst)
	var errs []error
	for i, item := range items {
		inner := path
		if len(items) > 1 {
			inner = fmt.Sprintf("%s[%d]", path, i)
		}
		errs = append(errs, d.decode(inner, item, out.Index(before+i)))
	}
	dst.Set(out)
	return errors.Join(errs...)
}

// oneObject folds a list of one block.
func oneObject(path string, v *Value) (*Value, error) {
	switch {
	case v.Kind == Object:
		return v, nil
	case v.Kind == List && len(v.Items) == 1 && v.Items[0].Kind == Object:
		return v.Items[0], nil
	case v.Kind == List && v.block:
		return nil, Errorf(v.Items[1].Pos, "%s is already set in line %d; it may stand only once", path, v.Pos.Line)
	}
	if path == "" {
		path = "the file"
	}
	return nil, mismatch(path, v, "a block of keys")
}

func mismatch(path string, v *Value, want string) error {
	got := v.Kind.String()
	const longest = 40
	switch {
	case v.Kind == Bool:
		got = fmt.Sprint(v.True)
	case v.Kind == Number && len(v.Text) <= longest:
		got = v.Text
	case v.Kind == String && len(v.Text) <= longest:
		got = fmt.Sprintf("the string %q", v.Text)
	}
	return Errorf(v.Pos, "%s wants %s, not %s", path, want, got)
}
