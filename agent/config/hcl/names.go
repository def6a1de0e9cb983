package hcl

import (
	"reflect"
	"strings"
	"unicode"
)

// Fold makes one spelling of local_bind_port, LocalBindPort and localbindport.
func Fold(key string) string {
	return strings.ReplaceAll(strings.ToLower(key), "_", "")
}

// names are the keys that a struct knows.
type names struct {
	fields  map[string]structField // by folded name
	display []string               // one spelling of each, as it is documented
}

type structField struct {
	name  string // as documented
	index []int
}

// namesOf lists the keys of a struct type. A field is called by its hcl tag, or else by its json tag or Go name
// in snake_case; "-" leaves it out. Further names stand in an alias tag, with commas between.
func namesOf(t reflect.Type) names {
	n := names{fields: make(map[string]structField)}
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() || isEmbedded(f) {
			continue
		}
		keys := keysOf(f)
		if keys[0] == "-" {
			continue
		}
		n.display = append(n.display, keys[0])
		for _, key := range keys {
			n.fields[Fold(key)] = structField{name: keys[0], index: f.Index}
		}
	}
	return n
}

// Keys lists the keys that a struct knows, one spelling of each.
func Keys(t reflect.Type) []string { return namesOf(t).display }

// isEmbedded tells a struct whose fields are spoken of as the outer one's own.
func isEmbedded(f reflect.StructField) bool {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return f.Anonymous && t.Kind() == reflect.Struct && f.Tag.Get("json") == ""
}

func keysOf(f reflect.StructField) []string {
	name, ok := f.Tag.Lookup("hcl")
	if !ok {
		name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		name = snake(name)
	}
	keys := []string{name}
	if aliases := f.Tag.Get("alias"); aliases != "" {
		keys = append(keys, strings.Split(aliases, ",")...)
	}
	return keys
}

// snake turns EnableTagOverride into enable_tag_override and TLSServerName into tls_server_name.
func snake(name string) string {
	var out strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		startsWord := unicode.IsUpper(r) && i > 0 && runes[i-1] != '_' &&
			(unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if startsWord {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

// Nearest returns the known name that key was probably meant to be, or "".
func Nearest(key string, known []string) string {
	const longest = 64 // a longer key is no typing slip, and the distance costs its square
	if len(key) > longest {
		return ""
	}
	key = Fold(key)
	best, bestDistance := "", 1+max(1, len(key)/3)
	for _, name := range known {
		if d := distance(key, Fold(name)); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance counts the letters to insert, remove, replace or swap with their neighbour to turn a into b.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
