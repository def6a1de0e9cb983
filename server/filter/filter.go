// Package filter compiles the boolean expressions with which people select rows (`Meta.rack == "r1" and "v2" in Tags`) into
// functions. The language is go-bexpr's, which parses it; the meaning is that of the public API, for which the library's own
// evaluator is too narrow: a selector may pass through a list of objects (`Checks.Status == critical` holds when one of
// them matches), and what is absent, be it a key or a whole object, is no error. An expression is judged against the type of
// the rows before the first row is seen, so that a mistake is told even when there are none.
package filter

import (
	"fmt"
	"reflect"

	"github.com/hashicorp/go-bexpr/grammar"
)

// maxLength bounds an expression in bytes: the parser descends as deep as the text nests.
const maxLength = 8 << 10

// maxSteps bounds the parser's work.
const maxSteps = 500_000

// Filter tells which rows are wanted.
type Filter struct{ match match }

// match judges a row in its scope.
type match func(scope) bool

// scope holds the row and the values of the names that enclosing "any" and "all" expressions have bound.
type scope struct {
	row    reflect.Value
	locals []reflect.Value
}

// Compile reads an expression over values of the type, or pointers to it. The error is for the person who wrote it.
func Compile(expression string, typ reflect.Type) (*Filter, error) {
	if len(expression) > maxLength {
		return nil, fmt.Errorf("the expression is %d bytes long, at most %d are allowed", len(expression), maxLength)
	}
	ast, err := grammar.Parse("", []byte(expression), grammar.MaxExpressions(maxSteps))
	if err != nil {
		return nil, err
	}
	m, err := compile(ast.(grammar.Expression), names{row: typ})
	if err != nil {
		return nil, err
	}
	return &Filter{m}, nil
}

// Match tells whether the row is wanted.
func (f *Filter) Match(row any) bool { return f.match(scope{row: reflect.ValueOf(row)}) }

// names is what a selector may begin with: a field of the row, or a bound name.
type names struct {
	row   reflect.Type
	bound []binding
}

type binding struct {
	name string
	typ  reflect.Type
}

func (n names) bind(name string, typ reflect.Type) names {
	return names{n.row, append(n.bound[:len(n.bound):len(n.bound)], binding{name, typ})}
}

func compile(node grammar.Expression, n names) (match, error) {
	switch node := node.(type) {
	case *grammar.UnaryExpression:
		inner, err := compile(node.Operand, n)
		if err != nil {
			return nil, err
		}
		return func(s scope) bool { return !inner(s) }, nil
	case *grammar.BinaryExpression:
		return compileBinary(node, n)
	case *grammar.MatchExpression:
		return compileMatch(node, n)
	case *grammar.CollectionExpression:
		return compileCollection(node, n)
	}
	return nil, fmt.Errorf("unknown kind of expression %T", node)
}

func compileBinary(node *grammar.BinaryExpression, n names) (match, error) {
	left, err := compile(node.Left, n)
	if err != nil {
		return nil, err
	}
	right, err := compile(node.Right, n)
	if err != nil {
		return nil, err
	}
	if node.Operator == grammar.BinaryOpAnd {
		return func(s scope) bool { return left(s) && right(s) }, nil
	}
	return func(s scope) bool { return left(s) || right(s) }, nil
}

// compileMatch compiles one comparison.
func compileMatch(node *grammar.MatchExpression, n names) (match, error) {
	p, err := resolve(node.Selector, n)
	if err != nil {
		return nil, err
	}
	op, negated := positive(node.Operator)
	value := ""
	if node.Value != nil {
		value = node.Value.Raw
	}
	test, err := comparison(op, p.typ, value)
	if err != nil {
		return nil, fmt.Errorf("%s of %q: %w", node.Operator, node.Selector, err)
	}
	// What is absent equals nothing, holds nothing, and is empty and nil.
	absent := (op == grammar.MatchIsEmpty || op == grammar.MatchIsNil) != negated
	return func(s scope) bool {
		return p.any(s, func(v reflect.Value, present bool) bool {
			if !present {
				return absent
			}
			return test(v) != negated
		})
	}, nil
}

// positive splits an operator into one that asks and whether its answer is turned round.
func positive(op grammar.MatchOperator) (grammar.MatchOperator, bool) {
	switch op {
	case grammar.MatchNotEqual:
		return grammar.MatchEqual, true
	case grammar.MatchNotIn:
		return grammar.MatchIn, true
	case grammar.MatchNotContains:
		return grammar.MatchIn, true
	case grammar.MatchContains:
		return grammar.MatchIn, false
	case grammar.MatchIsNotEmpty:
		return grammar.MatchIsEmpty, true
	case grammar.MatchNotMatches:
		return grammar.MatchMatches, true
	case grammar.MatchIsNotNil:
		return grammar.MatchIsNil, true
	}
	return op, false
}

// compileCollection compiles "any" and "all" over a list or map.
func compileCollection(node *grammar.CollectionExpression, n names) (match, error) {
	p, err := resolve(node.Selector, n)
	if err != nil {
		return nil, err
	}
	typ := deref(p.typ)
	var key, elem reflect.Type
	switch typ.Kind() {
	case reflect.Map:
		key, elem = typ.Key(), typ.Elem()
	case reflect.Slice, reflect.Array:
		key, elem = reflect.TypeFor[int](), typ.Elem()
	default:
		return nil, fmt.Errorf("%s is not a list or a map", node.Selector)
	}
	bind := node.NameBinding
	if bind.Default != "" && typ.Kind() == reflect.Map {
		bind.Index = bind.Default
	} else if bind.Default != "" {
		bind.Value = bind.Default
	}
	inner, err := compile(node.Inner, n.bind(bind.Index, key).bind(bind.Value, elem))
	if err != nil {
		return nil, err
	}
	all := node.Op == grammar.CollectionOpAll
	return func(s scope) bool {
		found := p.any(s, func(v reflect.Value, present bool) bool {
			return present && overElements(v, s, func(s scope) bool { return inner(s) != all })
		})
		return found != all
	}, nil
}

// overElements reports whether one element is found.
func overElements(v reflect.Value, s scope, found func(scope) bool) bool {
	at := func(key, value reflect.Value) bool {
		return found(scope{s.row, append(s.locals[:len(s.locals):len(s.locals)], key, value)})
	}
	if v.Kind() == reflect.Map {
		for it := v.MapRange(); it.Next(); {
			if at(it.Key(), it.Value()) {
				return true
			}
		}
		return false
	}
	for i := range v.Len() {
		if at(reflect.ValueOf(i), v.Index(i)) {
			return true
		}
	}
	return false
}
