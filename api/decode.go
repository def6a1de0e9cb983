package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file reads what people write: keys in CamelCase or snake_case and in any case, durations as strings, one object where a
// list of objects is wanted and the other way round (as HCL gives blocks). In everything else it is strict, so that a
// typing error is told with its path and is never a setting that silently does nothing. What programs write to each
// other goes through encoding/json alone.

// maxDepth bounds nesting. No noun is deeper than about ten; opaque configuration may be.
const maxDepth = 100

// decodeJSON reads data into the struct that target points to.
func decodeJSON(data []byte, target any) error {
	tree, err := parseJSON(data)
	if err != nil {
		return err
	}
	return decodeTree(tree, target)
}

// parseJSON reads exactly one JSON value, numbers as json.Number.
func parseJSON(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, Errorf(http.StatusBadRequest, "%s", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, Errorf(http.StatusBadRequest, "there is more after the end of the JSON value")
	}
	return tree, nil
}

// decodeTree sets the struct that target points to from a parsed tree.
func decodeTree(tree any, target any) error {
	err := decodeValue("", tree, reflect.ValueOf(target).Elem(), 0)
	if err != nil {
		return Errorf(http.StatusBadRequest, "%s", err)
	}
	return nil
}

var (
	durationType    = reflect.TypeFor[Duration]()
	nanosecondsType = reflect.TypeFor[Nanoseconds]()
	stdDurationType = reflect.TypeFor[time.Duration]()
	timeType        = reflect.TypeFor[time.Time]()
)

// decodeValue sets v, which is what stands at path, from src. A null leaves it as it is.
func decodeValue(path string, src any, v reflect.Value, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: nested deeper than %d", path, maxDepth)
	}
	if src == nil {
		return nil
	}
	switch v.Type() {
	case durationType, nanosecondsType, stdDurationType:
		d, err := parseDuration(src)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		v.SetInt(int64(d))
		return nil
	case timeType:
		return decodeTime(path, src, v)
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return decodeValue(path, src, v.Elem(), depth)
	case reflect.Struct:
		return decodeStruct(path, src, v, depth)
	case reflect.Slice:
		return decodeSlice(path, src, v, depth)
	case reflect.Map:
		return decodeMap(path, src, v, depth)
	case reflect.Interface:
		v.Set(reflect.ValueOf(opaque(src)))
		return nil
	}
	return decodeScalar(path, src, v)
}

func decodeScalar(path string, src any, v reflect.Value) error {
	switch v.Kind() {
	case reflect.String:
		if s, ok := src.(string); ok {
			v.SetString(s)
			return nil
		}
		return mismatch(path, "a string", src)
	case reflect.Bool:
		if b, ok := src.(bool); ok {
			v.SetBool(b)
			return nil
		}
		return mismatch(path, "true or false", src)
	}
	number, ok := src.(json.Number)
	if !ok {
		return mismatch(path, "a number", src)
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(number.String(), 10, v.Type().Bits())
		if err != nil {
			return mismatch(path, "a whole number in range", src)
		}
		v.SetInt(n)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(number.String(), 10, v.Type().Bits())
		if err != nil {
			return mismatch(path, "a whole number in range, not below zero", src)
		}
		v.SetUint(n)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(number.String(), v.Type().Bits())
		if err != nil {
			return mismatch(path, "a number in range", src)
		}
		v.SetFloat(f)
	default:
		return fmt.Errorf("%s: cannot be set from JSON", path)
	}
	return nil
}

func decodeTime(path string, src any, v reflect.Value) error {
	s, ok := src.(string)
	if !ok {
		return mismatch(path, "a time", src)
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return mismatch(path, "a time such as \"2006-01-02T15:04:05Z\"", src)
	}
	v.Set(reflect.ValueOf(t))
	return nil
}

func decodeStruct(path string, src any, v reflect.Value, depth int) error {
	object, err := asObject(path, src)
	if err != nil {
		return err
	}
	fields := fieldsOf(v)
	given := make(map[string]string, len(object))
	for _, key := range sortedKeys(object) {
		name := fold(key)
		field, ok := fields[name]
		if !ok {
			return fmt.Errorf("invalid config key %q%s", join(path, key), nearest(key, fields))
		}
		if before, twice := given[name]; twice {
			return fmt.Errorf("%s: given twice, as %q and as %q", join(path, field.name), before, key)
		}
		given[name] = key
		if err := decodeValue(join(path, field.name), object[key], field.value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// A field is one that a key can set.
type field struct {
	name  string
	value reflect.Value
}

// fieldsOf lists a struct's fields by folded name, those of embedded structs as its own.
func fieldsOf(v reflect.Value) map[string]field {
	fields := make(map[string]field, v.NumField())
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			for name, inner := range fieldsOf(v.Field(i)) {
				fields[name] = inner
			}
			continue
		}
		fields[fold(f.Name)] = field{f.Name, v.Field(i)}
		if alias := f.Tag.Get("alias"); alias != "" {
			fields[fold(alias)] = field{f.Name, v.Field(i)}
		}
	}
	return fields
}

func decodeSlice(path string, src any, v reflect.Value, depth int) error {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return decodeBytes(path, src, v)
	}
	list, ok := src.([]any)
	if !ok {
		object, isObject := src.(map[string]any)
		if !isObject || v.Type().Elem().Kind() != reflect.Struct {
			return mismatch(path, "a list", src)
		}
		list = []any{object} // one block
	}
	s := reflect.MakeSlice(v.Type(), len(list), len(list))
	for i, element := range list {
		if err := decodeValue(path+"["+strconv.Itoa(i)+"]", element, s.Index(i), depth+1); err != nil {
			return err
		}
	}
	v.Set(s)
	return nil
}

// decodeBytes reads base64, which is how JSON has bytes.
func decodeBytes(path string, src any, v reflect.Value) error {
	text, ok := src.(string)
	if !ok {
		return mismatch(path, "a string in base64", src)
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return mismatch(path, "a string in base64", src)
	}
	v.SetBytes(data)
	return nil
}

func decodeMap(path string, src any, v reflect.Value, depth int) error {
	object, err := asObject(path, src)
	if err != nil {
		return err
	}
	m := reflect.MakeMapWithSize(v.Type(), len(object))
	for _, key := range sortedKeys(object) {
		value := reflect.New(v.Type().Elem()).Elem()
		if err := decodeValue(join(path, key), object[key], value, depth+1); err != nil {
			return err
		}
		m.SetMapIndex(reflect.ValueOf(key), value)
	}
	v.Set(m)
	return nil
}

// asObject takes an object, or a list of just one, which is how HCL gives a block.
func asObject(path string, src any) (map[string]any, error) {
	if list, ok := src.([]any); ok && len(list) == 1 {
		src = list[0]
	}
	object, ok := src.(map[string]any)
	if !ok {
		return nil, mismatch(path, "an object", src)
	}
	return object, nil
}

// opaque turns a tree into the values that encoding/json would give, so that opaque configuration compares equal
// whichever way it came.
func opaque(src any) any {
	switch src := src.(type) {
	case json.Number:
		f, err := src.Float64()
		if err != nil {
			return math.Copysign(math.MaxFloat64, f)
		}
		return f
	case []any:
		list := make([]any, len(src))
		for i, v := range src {
			list[i] = opaque(v)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(src))
		for k, v := range src {
			object[k] = opaque(v)
		}
		return object
	}
	return src
}

// fold brings the ways to write a key together: DestinationName, destination_name, destinationname.
func fold(key string) string {
	return strings.ToLower(strings.ReplaceAll(key, "_", ""))
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func sortedKeys(object map[string]any) []string {
	keys := make([]string, 0, len(object))
	for key := range object {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func mismatch(path, want string, got any) error {
	if path == "" {
		return fmt.Errorf("want %s, not %s", want, describe(got))
	}
	return fmt.Errorf("%s: want %s, not %s", path, want, describe(got))
}

// describe names a value for an error message, with its content where that is short.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		if len(v) > 40 {
			return "a long string"
		}
		return "the string " + strconv.Quote(v)
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return "the number " + v.String()
	case []any:
		return "a list"
	}
	return "an object"
}

// nearest proposes the known key that is most like an unknown one, or nothing if none is.
func nearest(key string, fields map[string]field) string {
	best, bestDistance := "", 2+len(key)/4
	for folded, f := range fields {
		d := distance(fold(key), folded)
		if d < bestDistance || d == bestDistance && f.name < best {
			best, bestDistance = f.name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the Levenshtein distance, of keys short enough to be meant as one of ours.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return math.MaxInt
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
