package filter

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/go-bexpr/grammar"
)

// comparison returns the test that an operator and its value make of what is of the type.
func comparison(op grammar.MatchOperator, typ reflect.Type, value string) (func(reflect.Value) bool, error) {
	typ = deref(typ)
	if typ.Kind() == reflect.Interface {
		return dynamic(op, value), nil
	}
	switch op {
	case grammar.MatchEqual:
		return equal(typ, value)
	case grammar.MatchIn:
		return contains(typ, value)
	case grammar.MatchIsEmpty:
		switch typ.Kind() {
		case reflect.Map, reflect.Slice, reflect.Array, reflect.String:
			return func(v reflect.Value) bool { return v.Len() == 0 }, nil
		}
	case grammar.MatchIsNil:
		return func(v reflect.Value) bool {
			return (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.IsNil()
		}, nil
	case grammar.MatchMatches:
		if typ.Kind() != reflect.String {
			break
		}
		re, err := regexp.Compile(value)
		if err != nil {
			return nil, err
		}
		return func(v reflect.Value) bool { return re.MatchString(v.String()) }, nil
	}
	return nil, fmt.Errorf("it is %s, which cannot be compared so", describe(typ))
}

// dynamic judges a value by the type that it turns out to have; what cannot be compared does not match.
func dynamic(op grammar.MatchOperator, value string) func(reflect.Value) bool {
	return func(v reflect.Value) bool {
		test, err := comparison(op, v.Type(), value)
		return err == nil && test(v)
	}
}

func equal(typ reflect.Type, value string) (func(reflect.Value) bool, error) {
	switch kind := typ.Kind(); {
	case kind == reflect.String:
		return func(v reflect.Value) bool { return v.String() == value }, nil
	case kind == reflect.Bool:
		want, err := strconv.ParseBool(value)
		return func(v reflect.Value) bool { return v.Bool() == want }, err
	case kind >= reflect.Int && kind <= reflect.Int64:
		want, err := strconv.ParseInt(value, 0, 64)
		return func(v reflect.Value) bool { return v.Int() == want }, err
	case kind >= reflect.Uint && kind <= reflect.Uint64:
		want, err := strconv.ParseUint(value, 0, 64)
		return func(v reflect.Value) bool { return v.Uint() == want }, err
	case kind == reflect.Float32 || kind == reflect.Float64:
		want, err := strconv.ParseFloat(value, 64)
		return func(v reflect.Value) bool { return v.Float() == want }, err
	}
	return nil, fmt.Errorf("it is %s, which cannot be compared so", describe(typ))
}

func contains(typ reflect.Type, value string) (func(reflect.Value) bool, error) {
	switch typ.Kind() {
	case reflect.String:
		return func(v reflect.Value) bool { return strings.Contains(v.String(), value) }, nil
	case reflect.Map:
		if typ.Key().Kind() != reflect.String {
			break
		}
		key := reflect.ValueOf(value).Convert(typ.Key())
		return func(v reflect.Value) bool { return v.MapIndex(key).IsValid() }, nil
	case reflect.Slice, reflect.Array:
		is, err := comparison(grammar.MatchEqual, typ.Elem(), value)
		if err != nil {
			return nil, err
		}
		return func(v reflect.Value) bool {
			for i := range v.Len() {
				if walk(v.Index(i), nil, func(e reflect.Value, present bool) bool { return present && is(e) }) {
					return true
				}
			}
			return false
		}, nil
	}
	return nil, fmt.Errorf("it is %s, which holds no values", describe(typ))
}

// describe names a type for whoever wrote the expression.
func describe(typ reflect.Type) string {
	switch typ.Kind() {
	case reflect.Struct:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map:
		return "a map"
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	}
	return "a number"
}
