package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/parleymesh/parley"

// nouns are the packages of server that hold one family of nouns each: commands and queries, which are plain values.
var nouns = []string{
	"server/acl", "server/ca", "server/catalog", "server/configentry", "server/coordinate", "server/event", "server/intention",
	"server/kv", "server/operator", "server/query",
}

// arrow says what the packages beneath from may import of ours.
type arrow struct {
	from string
	may  []string // packages, or folders with all beneath them when they end in a slash
	why  string
}

// arrows is the architecture, the most particular first. A package obeys the first entry that it is beneath.
var arrows = []arrow{
	{"api", nil, "api is the vocabulary of everybody, so it needs nothing but the standard library"},
	{"server/filter", nil, "the language in which rows are selected knows the rows by their type alone"},
	{"server/quietlog", nil, "a log that repeats nothing serves servers, agents and proxies alike and knows none of them"},
	{"server/watch", nil, "watches serve servers and agents alike and know neither names nor rows"},
	{"server/codec", nil, "the encoding knows no noun"},
	{"server/state", []string{"api", "server/codec"}, "the state knows no Raft, no permission and no HTTP"},
	{"server/verb", []string{"api", "server/codec", "server/state"}, "the shapes of the two verbs decide nothing"},
	{"server/archive", nil, "the file of a snapshot is told from a damaged one without knowing what is in it"},
	{"server/chain", []string{"api"}, "compiling a chain is a pure function over config entries"},
	{"server/core", []string{"api", "server/archive", "server/codec", "server/state", "server/verb", "server/watch"}, "the core carries out the two verbs and knows no noun"},
	{"server/rpc", []string{"api", "server/quietlog", "server/codec", "server/verb", "server/watch"}, "the transport knows no noun"},
	{"server/acl", []string{"api", "server/codec", "server/core", "server/state", "server/verb"}, "permission is judged through core's interface"},
	{"server/", []string{"api", "server/filter", "server/chain", "server/codec", "server/state", "server/verb"},
		"a noun imports no other noun: what two of them need is a function of state"},
	{"server", []string{"api", "server/quietlog", "server/"}, "the servers know neither agents nor proxies"},
	{"agent/", append([]string{"api", "agent/", "server/filter", "server/quietlog", "server/verb"}, nouns...),
		"an agent takes from the servers only commands and queries, and does not know proxies; command/agent connects them"},
	{"proxy/", append([]string{"api", "server/filter", "proxy/", "server/quietlog", "server/verb"}, nouns...),
		"proxies take from the servers only commands and queries, and do not know the agent; command/agent connects them"},
	{"testutil", []string{"api", "testutil", "agent/", "command/", "server/filter", "proxy/", "server", "server/", "testutil/"}, "tests may use everything"},
	{"command", []string{"api", "agent/", "command/", "proxy/", "server/quietlog", "server", "server/"}, "commands wire everything but tests' helpers"},
	{"", []string{"command"}, "main hands over to command"},
}

func (a arrow) holds(pkg string) bool {
	switch {
	case a.from == "" || a.from == pkg:
		return a.from == pkg
	case strings.HasSuffix(a.from, "/"):
		return strings.HasPrefix(pkg, a.from)
	}
	return strings.HasPrefix(pkg, a.from+"/")
}

func (a arrow) allows(target string) bool {
	return slices.ContainsFunc(a.may, func(m string) bool {
		return m == target || strings.HasSuffix(m, "/") && strings.HasPrefix(target, m)
	})
}

// packages parses every package of the module, tests left out: what a test uses is its own affair.
func packages(t *testing.T) map[string][]*ast.File {
	t.Helper()
	out := map[string][]*ast.File{}
	set := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(d.Name(), ".") || hasOwnModule(name) || d.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(set, name, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(name))
		if pkg == "." {
			pkg = ""
		}
		out[pkg] = append(out[pkg], f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func hasOwnModule(dir string) bool {
	found, _ := filepath.Glob(filepath.Join(dir, "go.mod"))
	return len(found) > 0
}

func TestArrows(t *testing.T) {
	for pkg, files := range packages(t) {
		i := slices.IndexFunc(arrows, func(a arrow) bool { return a.holds(pkg) })
		if i < 0 {
			t.Errorf("%s is none of the rooms of the house: give it an arrow here, and a line on the architecture page", pkg)
			continue
		}
		for _, f := range files {
			for _, imp := range f.Imports {
				target, err := strconv.Unquote(imp.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				ours, ok := strings.CutPrefix(target, module+"/")
				switch {
				case ok && !arrows[i].allows(ours) && ours != pkg:
					t.Errorf("%s imports %s, which it may not: %s", pkg, ours, arrows[i].why)
				case !ok && pkg == "api" && strings.Contains(target, "."):
					t.Errorf("%s imports %s, which it may not: %s", pkg, target, arrows[i].why)
				}
			}
		}
	}
}

// TestPackageDocs wants a paragraph for every package that says what it is for.
func TestPackageDocs(t *testing.T) {
	for pkg, files := range packages(t) {
		if !slices.ContainsFunc(files, func(f *ast.File) bool { return f.Doc != nil }) {
			t.Errorf("package %q has no doc comment: say what it is for and what it leaves to others", pkg)
		}
	}
}
