package command

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestArrange(t *testing.T) {
	for _, c := range []struct{ typed, want string }{
		{"", ""},
		{"members", "members --"},
		{"members -detailed", "members -detailed --"},
		{"members -http-addr=x -detailed", "members -http-addr=x -detailed --"},
		{"-http-addr=x members", "members -http-addr=x --"},
		{"members explain web-1 -wan", "members explain -wan -- web-1"},
		{"members -http-addr=x explain web-1", "members explain -http-addr=x -- web-1"},
		{"intention create web db -allow", "intention create -allow -- web db"},
		{"intention create -allow web db", "intention create -allow -- web db"},
		{"intention create web -allow db --meta a=b", "intention create -allow --meta a=b -- web db"},
		{"services register -name=web --port 80 -tag a -tag b", "services register -name=web --port 80 -tag a -tag b --"},
		{"services register web.json -token t", "services register -token t -- web.json"},
		{"services register - -token=-", "services register -token=- -- -"},
		{"services register web.json -name", "services register -name"}, // to be complained of
		{"services register web.json -nmae x", "services register -nmae -- web.json x"},
		{"kv get a -recurse", "kv get -recurse -- a"},
		{"kv get -- -a", "kv get -- -a"},
		{"kv get -recurse=false a", "kv get -recurse=false -- a"},
		{"kv put -flags 42 a -5", "kv put -flags 42 -- a -5"},
		{"kv put a -flags=42 -x", "kv put -- a -flags=42 -x"},
		{"kv put a -- x", "kv put -- a -- x"},
		{"connect envoy -sidecar-for web -- -l debug", "connect envoy -sidecar-for web -- -l debug"},
		{"connect envoy -- --version -sidecar-for", "connect envoy -- --version -sidecar-for"},
		{"agent -dev -log-level debug -hcl x=1 -config-dir d", "agent -dev -log-level debug -hcl x=1 -config-dir d --"},
		{"agent -server=false -node n", "agent -server=false -node n --"},
		{"-http-addr=x:1 kv get a", "kv get -http-addr=x:1 -- a"},
		{"kv -token t -stale get a -keys", "kv get -token t -stale -keys -- a"},
		{"-http-addr", "-http-addr"},
		{"-token=t kv", "kv"},
		{"-nonsense kv get", "-nonsense kv get"},
		{"kv -nonsense get", "kv -nonsense get"},
		{"nonsense -a b", "nonsense -a b"},
		{"kv nonsense -a b", "kv nonsense -a b"},
		{"-v", "version --"},
		{"--version", "version --"},
		{"help", "-help"},
		{"help kv put", "kv put -help --"},
		{"kv put -h", "kv put -h --"},
		{"--", "--"},
	} {
		got := strings.Join(arrange(newApp("parley").Commands, strings.Fields(c.typed)), " ")
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.typed, got, c.want)
		}
	}
}

// FuzzArrange throws lines at it: nothing may get lost or appear, arguments keep their order, and what is arranged stays so.
func FuzzArrange(f *testing.F) {
	for _, line := range []string{
		"intention create web db -allow", "kv put a -- -x", "-token t kv get -recurse a", "services register a -name", "help kv", "-v", "agent -dev x -",
	} {
		f.Add(line)
	}
	commands := newApp("parley").Commands
	f.Fuzz(func(t *testing.T, line string) {
		typed := strings.Fields(line[:min(len(line), 1000)])
		if len(typed) > 0 && (typed[0] == "help" || isVersion(typed[0])) {
			return // which stand for other words
		}
		before := slices.Clone(typed)
		got := arrange(commands, typed)
		if !slices.Equal(typed, before) {
			t.Errorf("%q: its input has become %q", before, typed)
		}
		for _, word := range got {
			if word != "--" && count(got, word) > count(typed, word) {
				t.Errorf("%q: there is more of %q in %q", typed, word, got)
			}
		}
		path, _, _, leaf := resolve(commands, got)
		if leaf == nil {
			return
		}
		if again := arrange(commands, got); !slices.Equal(again, got) {
			t.Errorf("%q: %q becomes %q", typed, got, again)
		}
		end := slices.Index(got, "--")
		if end < 0 {
			return // the last flag lacks its value: the library complains
		}
		// A "--" may also be a flag's value, so only lines without one are held to lose nothing.
		if count(typed, "--") == 0 && len(got) != len(typed)+1 && !slices.ContainsFunc(typed, isVersion) {
			t.Errorf("%q: %q has lost something", typed, got)
		}
		if !inOrder(typed, got[end+1:]) {
			t.Errorf("%q: the arguments of %q (%q) have another order", typed, path, got)
		}
	})
}

func count(words []string, word string) int {
	n := 0
	for _, w := range words {
		if w == word {
			n++
		}
	}
	return n
}

// inOrder tells whether part is what is left of whole when words are taken away.
func inOrder(whole, part []string) bool {
	for _, w := range part {
		i := slices.Index(whole, w)
		if i < 0 {
			return false
		}
		whole = whole[i+1:]
	}
	return true
}

// TestNamesAreUnique sees to it that no two commands or flags are called the same, and that all say what they are for.
func TestNamesAreUnique(t *testing.T) {
	var visit func(place string, all []*cli.Command)
	visit = func(place string, all []*cli.Command) {
		seen := map[string]bool{}
		for _, c := range all {
			here := place + " " + c.Name
			if seen[c.Name] || c.Usage == "" || (place == "" && c.Category == "") {
				t.Errorf("%s: its name is taken, or it does not say what it is for", here)
			}
			seen[c.Name] = true
			flags := map[string]bool{}
			for _, f := range c.Flags {
				doc, ok := f.(cli.DocGenerationFlag)
				if name := f.Names()[0]; flags[name] || !ok || doc.GetUsage() == "" {
					t.Errorf("%s -%s: its name is taken, or it does not say what it is for", here, name)
				}
				flags[f.Names()[0]] = true
			}
			visit(here, c.Subcommands)
		}
	}
	visit("", newApp("parley").Commands)
}
