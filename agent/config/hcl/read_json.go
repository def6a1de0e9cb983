package hcl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

func parseJSON(file string, src []byte) (*Value, error) {
	r := &jsonReader{file: file, src: src, line: 1, dec: json.NewDecoder(bytes.NewReader(src))}
	r.dec.UseNumber()
	tok, err := r.token()
	if errors.Is(err, io.EOF) { // an empty file says nothing, in either notation
		return &Value{Pos: r.pos(), Kind: Object}, nil
	}
	if err != nil {
		return nil, err
	}
	root, err := r.value("", tok, 0)
	if err != nil {
		return nil, err
	}
	if root.Kind != Object {
		return nil, Errorf(root.Pos, "not valid: the file must be a JSON object, not %s", root.Kind)
	}
	switch _, err := r.token(); {
	case errors.Is(err, io.EOF):
		return root, nil
	case err != nil:
		return nil, err
	}
	return nil, Errorf(r.pos(), "more text after the end of the JSON object")
}

type jsonReader struct {
	file    string
	src     []byte
	dec     *json.Decoder
	counted int // bytes of src whose newlines are in line
	line    int
}

// pos is that of the token read last: no token of JSON spans lines.
func (r *jsonReader) pos() Pos {
	end := min(int(r.dec.InputOffset()), len(r.src))
	r.line += bytes.Count(r.src[r.counted:end], []byte("\n"))
	r.counted = end
	return Pos{File: r.file, Line: r.line}
}

// token returns io.EOF bare, so that callers can tell a complete file from a torn one.
func (r *jsonReader) token() (json.Token, error) {
	tok, err := r.dec.Token()
	if err == nil || errors.Is(err, io.EOF) {
		return tok, err
	}
	pos := r.pos()
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		end := min(int(syntax.Offset), len(r.src))
		pos.Line = 1 + bytes.Count(r.src[:end], []byte("\n"))
	}
	return nil, Errorf(pos, "not valid JSON: %v", err)
}

func (r *jsonReader) next() (json.Token, error) {
	tok, err := r.token()
	if errors.Is(err, io.EOF) {
		return nil, Errorf(r.pos(), "not valid JSON: the file ends in the middle of a value")
	}
	return tok, err
}

func (r *jsonReader) value(path string, tok json.Token, depth int) (*Value, error) {
	v := &Value{Pos: r.pos()}
	if depth > maxDepth {
		return nil, Errorf(v.Pos, "nested more than %d levels deep", maxDepth)
	}
	switch t := tok.(type) {
	case nil:
	case bool:
		v.Kind, v.True = Bool, t
	case json.Number:
		v.Kind, v.Text = Number, t.String()
		if _, err := v.float(); err != nil {
			return nil, Errorf(v.Pos, "%s is not a number", t)
		}
	case string:
		v.Kind, v.Text = String, t
	case json.Delim:
		if t == '[' {
			v.Kind = List
			return v, r.items(v, path, depth)
		}
		v.Kind = Object
		return v, r.fields(v, path, depth)
	}
	return v, nil
}

func (r *jsonReader) items(list *Value, path string, depth int) error {
	for {
		tok, err := r.next()
		if err != nil || tok == json.Delim(']') {
			return err
		}
		item, err := r.value(fmt.Sprintf("%s[%d]", path, len(list.Items)), tok, depth+1)
		if err != nil {
			return err
		}
		list.Items = append(list.Items, item)
	}
}

func (r *jsonReader) fields(object *Value, path string, depth int) error {
	for {
		tok, err := r.next()
		if err != nil || tok == json.Delim('}') {
			return err
		}
		key, pos := tok.(string), r.pos() // the decoder lets nothing else stand here
		inner := join(path, key)
		if tok, err = r.next(); err != nil {
			return err
		}
		value, err := r.value(inner, tok, depth+1)
		if err != nil {
			return err
		}
		if err := object.add(inner, Field{Key: key, Pos: pos, Value: value}); err != nil {
			return err
		}
	}
}
