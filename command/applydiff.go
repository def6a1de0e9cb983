package command

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/parleymesh/parley/api"
)

// What applying does to an entry.
const (
	actionCreate = "create"
	actionUpdate = "update"
	actionDelete = "delete"
)

// planned is a change that applying makes.
type planned struct {
	Action string
	Kind   string
	Name   string
	File   string        `json:",omitempty"`
	Line   int           `json:",omitempty"`
	Fields []fieldChange `json:",omitempty"` // of an update
	change api.EntryChange
}

// fieldChange is a field that changes. What is absent is nil.
type fieldChange struct {
	Path string
	Old  any
	New  any
}

// entryDiff lists the fields in which an entry differs from how it stands, by path.
func entryDiff(old, new api.ConfigEntry) ([]fieldChange, error) {
	a, err := entryTree(old)
	if err != nil {
		return nil, err
	}
	b, err := entryTree(new)
	if err != nil {
		return nil, err
	}
	return diffTrees(nil, "", a, b), nil
}

// entryTree is what people write of an entry, without what the servers say of it.
func entryTree(e api.ConfigEntry) (map[string]any, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, err
	}
	for _, key := range []string{"CreateIndex", "ModifyIndex", "Hash", "Status"} {
		delete(tree, key)
	}
	return tree, nil
}

// diffTrees adds to out what differs between two trees at a path.
func diffTrees(out []fieldChange, path string, old, new any) []fieldChange {
	if reflect.DeepEqual(old, new) {
		return out
	}
	switch a := old.(type) {
	case map[string]any:
		b, ok := new.(map[string]any)
		if !ok {
			break
		}
		keys := slices.Sorted(maps.Keys(a))
		for key := range b {
			if _, both := a[key]; !both {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		for _, key := range keys {
			inner := key
			if path != "" {
				inner = path + "." + key
			}
			out = diffTrees(out, inner, a[key], b[key])
		}
		return out
	case []any:
		b, ok := new.([]any)
		if !ok {
			break
		}
		for i := range max(len(a), len(b)) {
			var was, is any
			if i < len(a) {
				was = a[i]
			}
			if i < len(b) {
				is = b[i]
			}
			out = diffTrees(out, fmt.Sprintf("%s[%d]", path, i), was, is)
		}
		return out
	}
	return append(out, fieldChange{path, old, new})
}

// showPlan prints the changes for people.
func showPlan(w io.Writer, plan []planned) {
	for _, p := range plan {
		sign := map[string]string{actionCreate: "+", actionUpdate: "~", actionDelete: "-"}[p.Action]
		line := fmt.Sprintf("%s %s/%s", sign, p.Kind, p.Name)
		if p.File != "" {
			line = fmt.Sprintf("%-48s %s:%d", line, p.File, p.Line)
		}
		fmt.Fprintln(w, line)
		for _, f := range p.Fields {
			fmt.Fprintf(w, "    %s: %s → %s\n", f.Path, shownValue(f.Old), shownValue(f.New))
		}
	}
}

// longestValue bounds what is shown of a value.
const longestValue = 200

func shownValue(v any) string {
	if v == nil {
		return "(none)"
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	text := strings.TrimSuffix(b.String(), "\n")
	if runes := []rune(text); len(runes) > longestValue {
		text = string(runes[:longestValue]) + "…"
	}
	return text
}

// counted tells how many changes of each sort there are.
func counted(plan []planned) string {
	n := map[string]int{}
	for _, p := range plan {
		n[p.Action]++
	}
	return fmt.Sprintf("%d new, %d changed, %d removed", n[actionCreate], n[actionUpdate], n[actionDelete])
}
