package command

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	agentconfig "github.com/parleymesh/parley/agent/config"
	"github.com/parleymesh/parley/agent/config/hcl"
	"github.com/parleymesh/parley/api"
)

// written is an entry that stands in a file.
type written struct {
	entry api.ConfigEntry
	tree  *hcl.Value // to find the line of a field
}

func (w written) key() api.EntryName {
	return api.EntryName{Kind: w.entry.EntryKind(), Name: w.entry.EntryName()}
}

// readEntries reads the entries of files, and of the files of directories whose names end in .hcl or .json. It complains about
// all files together.
func readEntries(c *cli.Context, paths []string) ([]written, error) {
	var out []written
	var errs []error
	for _, path := range paths {
		files, err := entryFiles(path)
		errs = append(errs, err)
		for _, file := range files {
			list, err := readEntryFile(c, file)
			errs = append(errs, err)
			out = append(out, list...)
		}
	}
	seen := map[api.EntryName]hcl.Pos{}
	for _, w := range out {
		if before, twice := seen[w.key()]; twice {
			errs = append(errs, hcl.Errorf(w.tree.Pos, "%s/%s stands in %s already", w.key().Kind, w.key().Name, before))
		}
		seen[w.key()] = w.tree.Pos
	}
	return out, errors.Join(errs...)
}

// entryFiles lists the files that a path names, by name; what begins with a dot is an editor's.
func entryFiles(path string) ([]string, error) {
	if info, err := os.Stat(path); path == "-" || err == nil && !info.IsDir() {
		return []string{path}, nil
	}
	dir, err := os.ReadDir(path) // by name
	if err != nil {
		return nil, err
	}
	var files []string
	for _, f := range dir {
		ext := filepath.Ext(f.Name())
		if !f.IsDir() && !strings.HasPrefix(f.Name(), ".") && (ext == ".hcl" || ext == ".json") {
			files = append(files, filepath.Join(path, f.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no file whose name ends in .hcl or .json", path)
	}
	return files, nil
}

// readEntryFile reads a file that is one entry, a list of them in JSON, or has several as blocks called "entry"; an agent's
// configuration may have them in config_entries, bootstrap.
func readEntryFile(c *cli.Context, name string) ([]written, error) {
	data, shown, err := contents(c, name)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) { // on the same line, so that lines are still right
		data = slices.Concat([]byte(`{"entry":`), data, []byte("}"))
	}
	tree, err := hcl.Parse(shown, data, notation(data))
	if err != nil {
		return nil, err
	}
	trees, err := entryTrees(tree)
	if err != nil {
		return nil, err
	}
	var out []written
	var errs []error
	for _, t := range trees {
		entry, err := agentconfig.DecodeEntry(t)
		if err == nil && entry.EntryName() == "" {
			err = hcl.Errorf(t.Pos, "Name is required")
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, written{entry, t})
	}
	return out, errors.Join(errs...)
}

// entryTrees finds the entries of a file.
func entryTrees(tree *hcl.Value) ([]*hcl.Value, error) {
	var lists []*hcl.Value
	for _, f := range tree.Fields {
		switch strings.ToLower(f.Key) {
		case "kind":
			return []*hcl.Value{tree}, nil
		case "entry", "entries":
			lists = append(lists, f.Value)
		case "config_entries":
			for _, block := range each(f.Value) {
				if v := block.Lookup("bootstrap"); v != nil {
					lists = append(lists, v)
				}
			}
		default:
			return nil, hcl.Errorf(f.Pos, "%s: a file has one config entry, which begins with Kind and Name, or several, each in a block called entry", f.Key)
		}
	}
	var out []*hcl.Value
	for _, l := range lists {
		for _, v := range each(l) {
			if v.Kind != hcl.Object {
				return nil, hcl.Errorf(v.Pos, "an entry is a block of keys, not %s", v.Kind)
			}
			out = append(out, v)
		}
	}
	return out, nil
}

// each returns the elements of a list, or what is none as the only one.
func each(v *hcl.Value) []*hcl.Value {
	if v.Kind == hcl.List {
		return v.Items
	}
	return []*hcl.Value{v}
}

// fieldPath is how a complaint of the servers begins that concerns a field.
var fieldPath = regexp.MustCompile(`^[A-Za-z0-9]+(\.[A-Za-z0-9*-]+|\[[^\]]*\])*`)

// culprit is how a complaint names a field of an entry; of several, the last is the cause.
var culprit = regexp.MustCompile(`([a-z-]+) "([^"]*)"(?: ([A-Z][^\s:]*))?`)

// locate returns where the field stands in the files that a complaint about an entry is of, or as much of its path as there is.
func locate(files []written, about api.EntryName, complaint string) hcl.Pos {
	find := func(name api.EntryName) *written {
		if i := slices.IndexFunc(files, func(w written) bool { return w.key() == name }); i >= 0 {
			return &files[i]
		}
		return nil
	}
	for _, m := range slices.Backward(culprit.FindAllStringSubmatch(complaint, -1)) {
		if w := find(api.EntryName{Kind: m[1], Name: m[2]}); w != nil && m[3] != "" {
			return w.position(m[3])
		}
	}
	if w := find(about); w != nil {
		return w.position(complaint)
	}
	return hcl.Pos{}
}

// position returns where a field stands, or as much of its path as there is.
func (w written) position(path string) hcl.Pos {
	v := w.tree
	for _, part := range strings.FieldsFunc(fieldPath.FindString(path), func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		next := inside(v, part)
		if next == nil {
			break
		}
		v = next
	}
	return v.Pos
}

// inside returns a part of a value, or nil: an element of a list, or a field, as HCL and JSON have them.
func inside(v *hcl.Value, part string) *hcl.Value {
	if n, err := strconv.Atoi(part); err == nil && v.Kind != hcl.Object {
		if n < len(v.Items) {
			return v.Items[n]
		}
		return nil
	} else if err == nil && n == 0 && v.Lookup(part) == nil {
		return v // one block is a list of one
	}
	if v.Kind == hcl.List && len(v.Items) == 1 {
		v = v.Items[0] // and a list of one is a block
	}
	for _, f := range v.Fields {
		if hcl.Fold(f.Key) == hcl.Fold(part) {
			return f.Value
		}
	}
	return nil
}
