package command

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// offered completes a line as fish would, and returns the words without their hints.
func offered(line string) string {
	var out bytes.Buffer
	typed{shell: "fish", line: line}.complete(context.Background(), newApp("parley"), &out)
	var words []string
	for l := range strings.Lines(out.String()) {
		word, _, _ := strings.Cut(strings.TrimSuffix(l, "\n"), "\t")
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// TestComplete completes what no agent is needed for; there is none, and nobody hears of that.
func TestComplete(t *testing.T) {
	t.Setenv("PARLEY_HTTP_ADDR", "127.0.0.1:1")
	t.Chdir("testdata/files")
	for line, want := range map[string]string{
		"parley kv":                         "kv",
		"parley kv ":                        "get put delete export import",
		"consul operator raft l":            "list-peers",
		"parley nonsense ":                  "",
		"parley kv nonsense ":               "",
		"parley -":                          "-http-addr -token -token-file -ca-file -ca-path -client-cert -client-key -tls-server-name -datacenter -stale",
		"parley -token x kv get -s":         "-separator -stale",
		"parley -token":                     "-token -token-file",
		"parley kv get a --fo":              "--format",
		"parley kv get -format ":            "pretty table json",
		"parley kv get -format j":           "json",
		"parley kv get -format=j":           "-format=json",
		"parley kv get -nothing=":           "",
		"parley kv put -- -":                "",
		"parley kv put k -":                 "", // a value may begin so
		"parley kv put k @t":                "@torn.hcl @typo.hcl",
		"parley lock k ls -":                "",
		"parley kv get x":                   "",
		"parley members -datacenter ":       "",
		"parley config read -kind=proxy":    "-kind=proxy-defaults",
		"parley config read -kind x -name ": "",
		"parley validate good.hcl to":       "torn.hcl",
		"parley validate 'go":               "good.hcl",
		"parley agent -config-file=ty":      "-config-file=typo.hcl",
		"parley completion z":               "zsh",
		"parley completion zsh ":            "",
		"parley watch -type s":              "services service",
	} {
		if got := offered(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// TestCompleteSilentAgent has an agent that takes the connection and says nothing: the prompt must come back.
func TestCompleteSilentAgent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	began := time.Now()
	if got := offered("parley -http-addr=" + l.Addr().String() + " kv get "); got != "" {
		t.Error(got)
	}
	if took := time.Since(began); took > 10*completeTime {
		t.Errorf("it took %s", took)
	}
}

// TestCompleteForBash hands back only what bash replaces: not what stands before a = or a colon.
func TestCompleteForBash(t *testing.T) {
	for _, c := range []struct{ line, word, want string }{
		{"parley kv get -format=js", "js", "json\n"},
		{"parley kv get -format=", "", "pretty\ntable\njson\n"},
		{"parley kv get -format js", "js", "json\n"},
		{"parley snap", "snap", "snapshot\n"},
	} {
		var out bytes.Buffer
		typed{shell: "bash", line: c.line, word: c.word}.complete(context.Background(), newApp("parley"), &out)
		if out.String() != c.want {
			t.Errorf("%q: %q", c.line, out.String())
		}
	}
	if got := escaped("a b/'c'$"); got != `a\ b/\'c\'\$` {
		t.Error(got)
	}
}

// TestCompleteAsked tells when this process is there to complete a line, and when it only runs where one is completed.
func TestCompleteAsked(t *testing.T) {
	t.Setenv("COMP_LINE", "parley kv ge x")
	t.Setenv("COMP_POINT", "12")
	if line, ok := completing([]string{"parley", "ge", "kv"}); !ok || line.line != "parley kv ge" || line.word != "ge" {
		t.Errorf("%+v, %v", line, ok)
	}
	for _, words := range [][]string{{"kv", "get", "x"}, {"parley"}, nil} {
		if _, ok := completing(words); ok {
			t.Errorf("%q is taken for a line to complete", words)
		}
	}
	t.Setenv("COMP_POINT", "99")
	if _, ok := completing([]string{"parley", "ge", "kv"}); ok {
		t.Error("the cursor is behind the line")
	}
}

func FuzzComplete(f *testing.F) {
	for _, line := range []string{"parley kv get -format=j", `parley kv put 'a b" c\`, "parley -token", "parley lock k -- -x", "x help help -v"} {
		f.Add(line)
	}
	app := newApp("parley")
	f.Fuzz(func(t *testing.T, line string) {
		words, last := shellWords(line[:min(len(line), 500)])
		p := where(app, words[min(1, len(words)):])
		if p.leaf != nil && !slices.Contains(words, p.leaf.Name) && len(p.leaf.Aliases) == 0 {
			t.Errorf("%q is taken for %q", line, p.path)
		}
		if p.leaf == nil || p.pending == "" && strings.HasPrefix(last, "-") && !strings.Contains(last, "=") {
			p.candidates(context.Background(), last) // no agent is asked
		}
	})
}
