package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/parleymesh/parley/agent/config/hcl"
	"github.com/parleymesh/parley/api"
)

// A file that defines services and checks and nothing else is a registration. A mistake in it is no reason for the agent not to
// start: it is left out, and named. A mistake anywhere else might open what a setting closes, so there it is one.

// definitionKeys are the keys that a registration has.
var definitionKeys = []string{"service", "services", "check", "checks"}

// registers tells whether a document is a registration.
func registers(tree *hcl.Value) bool {
	return len(tree.Fields) > 0 && !slices.ContainsFunc(tree.Fields, func(f hcl.Field) bool {
		return !slices.Contains(definitionKeys, strings.ToLower(f.Key))
	})
}

// wordThenValue finds what stands where a key may.
var wordThenValue = regexp.MustCompile(`([A-Za-z_0-9]+)"?\s*[=:{\[]`)

// meantToRegister tells whether a file that cannot be parsed was meant to be a registration: it begins as one, and has no word of a
// setting where a key may stand. In doubt it was not.
func meantToRegister(path string) bool {
	src, err := os.ReadFile(path)
	if err != nil || len(src) > hcl.MaxSize {
		return false
	}
	words := wordThenValue.FindAllSubmatch(src, -1)
	if len(words) == 0 || !slices.Contains(definitionKeys, strings.ToLower(string(words[0][1]))) {
		return false
	}
	return !slices.ContainsFunc(words, func(w [][]byte) bool { return settingWords()[hcl.Fold(string(w[1]))] })
}

// settingWords are the keys of settings that no definition has, folded. Most commands read no definitions and never ask for them.
var settingWords = sync.OnceValue(func() map[string]bool {
	words := map[string]bool{}
	for _, key := range hcl.Keys(reflect.TypeFor[Config]()) {
		words[hcl.Fold(key)] = true
	}
	for _, table := range []map[string]string{deprecated, inert} {
		for key := range table {
			first, _, _ := strings.Cut(key, ".")
			words[hcl.Fold(first)] = true
		}
	}
	for _, t := range []reflect.Type{
		reflect.TypeFor[api.ServiceDefinition](), reflect.TypeFor[api.CheckDefinition](), reflect.TypeFor[api.Proxy](), reflect.TypeFor[api.Upstream](),
	} {
		for _, key := range hcl.Keys(t) {
			delete(words, hcl.Fold(key))
		}
	}
	return words
})
