package hcl

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/token"
)

func parseHCL(file string, src []byte) (root *Value, err error) {
	// The library panics on some literals that its own parser lets through.
	defer func() {
		if p := recover(); p != nil {
			root, err = nil, Errorf(Pos{File: file}, "not valid HCL: %v", p)
		}
	}()
	r := hclReader{file: file}
	src = bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n")) // as the parser does
	if err := r.check(src); err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(src)
	var at *parser.PosError
	switch {
	case errors.As(err, &at):
		return nil, Errorf(r.pos(at.Pos), "not valid HCL: %v", at.Err)
	case err != nil:
		return nil, Errorf(Pos{File: file}, "not valid HCL: %v", err)
	}
	list, ok := parsed.Node.(*ast.ObjectList)
	if !ok {
		return nil, Errorf(Pos{File: file}, "not valid HCL: the file must be a list of keys and values")
	}
	root = &Value{Pos: Pos{File: file, Line: 1}, Kind: Object}
	return root, r.fields(root, "", list)
}

type hclReader struct{ file string }

func (r hclReader) pos(p token.Pos) Pos { return Pos{File: r.file, Line: p.Line} }

// fields adds the items of list to the object. path is for messages only.
func (r hclReader) fields(object *Value, path string, list *ast.ObjectList) error {
	var errs []error
	for _, item := range list.Items {
		errs = append(errs, r.item(object, path, item))
	}
	return errors.Join(errs...)
}

func (r hclReader) item(object *Value, path string, item *ast.ObjectItem) error {
	if len(item.Keys) == 0 {
		return Errorf(object.Pos, "a value without a key")
	}
	// A block `a "b" { }` is an object a with the key b.
	last := len(item.Keys) - 1
	for _, k := range item.Keys[:last] {
		key, pos := keyText(k), r.pos(k.Pos())
		path = join(path, key)
		inner := object.Lookup(key)
		if inner == nil {
			inner = &Value{Pos: pos, Kind: Object, block: true, labelled: true}
			object.append(Field{Key: key, Pos: pos, Value: inner})
		}
		if !inner.labelled {
			return duplicate(path, pos, inner.Pos)
		}
		object = inner
	}
	key, pos := keyText(item.Keys[last]), r.pos(item.Keys[last].Pos())
	path = join(path, key)
	value, err := r.value(path, item.Val)
	if err != nil {
		return err
	}
	value.Pos = pos
	value.block = value.Kind == Object && !item.Assign.IsValid()
	return object.add(path, Field{Key: key, Pos: pos, Value: value})
}

// add appends a field. A key that comes twice is refused, except blocks: they gather in a list.
func (v *Value) add(path string, f Field) error {
	i, ok := v.index[f.Key]
	if !ok {
		v.append(f)
		return nil
	}
	before := v.Fields[i].Value
	if !before.block || !f.Value.block || before.labelled {
		return duplicate(path, f.Pos, v.Fields[i].Pos)
	}
	if before.Kind == Object {
		before = &Value{Pos: before.Pos, Kind: List, Items: []*Value{before}, block: true}
	}
	before.Items = append(before.Items, f.Value)
	v.Fields[i].Value = before
	return nil
}

func duplicate(path string, pos, before Pos) error {
	return Errorf(pos, "%s is already set in line %d; remove one of them", path, before.Line)
}

func (r hclReader) value(path string, node ast.Node) (*Value, error) {
	pos := r.pos(node.Pos())
	switch n := node.(type) {
	case *ast.LiteralType:
		return r.literal(pos, n.Token)
	case *ast.ListType:
		list := &Value{Pos: pos, Kind: List}
		for i, elem := range n.List {
			item, err := r.value(fmt.Sprintf("%s[%d]", path, i), elem)
			if err != nil {
				return nil, err
			}
			list.Items = append(list.Items, item)
		}
		return list, nil
	case *ast.ObjectType:
		object := &Value{Pos: pos, Kind: Object}
		return object, r.fields(object, path, n.List)
	}
	return nil, Errorf(pos, "%s: unexpected %T", path, node)
}

func (r hclReader) literal(pos Pos, tok token.Token) (*Value, error) {
	v := &Value{Pos: pos}
	switch tok.Type {
	case token.BOOL:
		v.Kind, v.True = Bool, tok.Text == "true"
	case token.NUMBER, token.FLOAT:
		v.Kind, v.Text = Number, tok.Text
		if _, err := v.float(); err != nil {
			return nil, Errorf(pos, "%s is not a number", tok.Text)
		}
	case token.STRING, token.HEREDOC:
		v.Kind, v.Text = String, tok.Value().(string)
	default:
		return nil, Errorf(pos, "unexpected %s", tok.Text)
	}
	return v, nil
}

func keyText(k *ast.ObjectKey) string {
	return k.Token.Value().(string)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
