// Package hcl reads HCL (version 1) and JSON into one tree of values that remember the file and line they
// stand in, and decodes that tree into Go structs. Agent configuration, service and check definitions and
// config entries are all read through it, so an unknown key or a wrong type is told the same way everywhere.
//
// It knows no key of any of those: which keys exist is what the struct says that a caller decodes into. What
// a value must be beyond its type (a port in range, a name that exists) is the caller's to check.
package hcl

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// MaxSize bounds a file: far above any configuration written by people or tools, far below what would hurt.
const MaxSize = 4 << 20

// maxDepth bounds nesting, since readers and decoders recurse.
const maxDepth = 64

// Pos says where a value was written. Line is 0 where lines mean nothing, as on the command line.
type Pos struct {
	File string
	Line int
}

func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// Error is a complaint about one place in a file.
type Error struct {
	Pos Pos
	Msg string
}

func (e *Error) Error() string {
	if e.Pos.File == "" {
		return e.Msg
	}
	return e.Pos.String() + ": " + e.Msg
}

// Errorf makes an Error.
func Errorf(pos Pos, format string, args ...any) error {
	return &Error{Pos: pos, Msg: fmt.Sprintf(format, args...)}
}

// Kind is the shape of a Value.
type Kind int

// The kinds of value that both notations have.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Object
)

// String names the kind the way an error message speaks of a value of it.
func (k Kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "a block of keys"}[k]
}

// Value is a node of the tree.
type Value struct {
	Pos  Pos
	Kind Kind

	Text   string // of a String its contents, of a Number its literal
	True   bool   // of a Bool
	Items  []*Value
	Fields []Field

	// block marks an object written in HCL without an equals sign: such a key may come again, and then
	// means a list. labelled marks the object made of a block's labels, into which the next one merges.
	block, labelled bool

	index map[string]int // of a key in Fields, kept by append
}

// Field is one key of an Object, in the order and spelling of the file.
type Field struct {
	Key   string
	Pos   Pos
	Value *Value
}

// Lookup returns the value of a key in an Object, or nil.
func (v *Value) Lookup(key string) *Value {
	if i, ok := v.index[key]; ok {
		return v.Fields[i].Value
	}
	return nil
}

func (v *Value) append(f Field) {
	if v.index == nil {
		v.index = make(map[string]int)
	}
	v.index[f.Key] = len(v.Fields)
	v.Fields = append(v.Fields, f)
}

// Nest returns the tree in which v is the value of a key path such as "ports.http".
func Nest(path string, v *Value) *Value {
	keys := strings.Split(path, ".")
	for i := len(keys) - 1; i >= 0; i-- {
		outer := &Value{Pos: v.Pos, Kind: Object}
		outer.append(Field{Key: keys[i], Pos: v.Pos, Value: v})
		v = outer
	}
	return v
}

// Any returns the value as encoding/json would decode it into an empty interface: numbers are float64, so
// that what was read from a file equals what comes back from the API.
func (v *Value) Any() any {
	switch v.Kind {
	case Bool:
		return v.True
	case Number:
		f, err := v.float()
		if err != nil {
			return v.Text
		}
		return f
	case String:
		return v.Text
	case List:
		items := make([]any, len(v.Items))
		for i, item := range v.Items {
			items[i] = item.Any()
		}
		return items
	case Object:
		fields := make(map[string]any, len(v.Fields))
		for _, f := range v.Fields {
			fields[f.Key] = f.Value.Any()
		}
		return fields
	}
	return nil
}

// MarshalJSON renders the value as JSON.
func (v *Value) MarshalJSON() ([]byte, error) { return json.Marshal(v.Any()) }

func (v *Value) int() (int64, error) { return strconv.ParseInt(v.Text, 0, 64) }

func (v *Value) float() (float64, error) {
	if n, err := v.int(); err == nil {
		return float64(n), nil
	}
	f, err := strconv.ParseFloat(v.Text, 64)
	if err == nil && (math.IsInf(f, 0) || math.IsNaN(f)) {
		err = strconv.ErrRange
	}
	return f, err
}

// Format is a notation.
type Format string

// The notations, spelled as -config-format spells them.
const (
	HCL  Format = "hcl"
	JSON Format = "json"
)

// ErrFormat is returned for a file whose name does not tell its notation.
var ErrFormat = errors.New(`the name must end in ".hcl" or ".json"`)

// FormatOf tells the notation from a file's name.
func FormatOf(name string) (Format, error) {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".hcl":
		return HCL, nil
	case ".json":
		return JSON, nil
	}
	return "", ErrFormat
}

// Parse reads src, which came from the named file, into an Object.
func Parse(file string, src []byte, format Format) (*Value, error) {
	if len(src) > MaxSize {
		return nil, Errorf(Pos{File: file}, "the file has %d bytes; at most %d are read, split it into several", len(src), MaxSize)
	}
	src = []byte(strings.TrimPrefix(string(src), "\ufeff")) // editors on Windows leave a byte-order mark
	switch format {
	case HCL:
		return parseHCL(file, src)
	case JSON:
		return parseJSON(file, src)
	}
	return nil, fmt.Errorf("format %q: use %q or %q", format, HCL, JSON)
}

// ReadFile parses the file at path. An empty format is told from the file's name.
func ReadFile(path string, format Format) (*Value, error) {
	if format == "" {
		var err error
		if format, err = FormatOf(path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxSize { // before it is in memory
		return nil, Errorf(Pos{File: path}, "the file has %d bytes; at most %d are read, split it into several", info.Size(), MaxSize)
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, src, format)
}
