package hcl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

type upstream struct {
	DestinationName string
	LocalBindPort   int
}

type service struct {
	Name      string
	Port      uint16
	Tags      []string
	Meta      map[string]string
	Upstreams []upstream
	TTL       time.Duration
	Weight    float64
	Native    *bool
	Args      []string `alias:"ScriptArgs"`
	Config    map[string]any
	Secret    string `hcl:"-"`
}

type file struct {
	Service   *service  `hcl:"service"`
	Services  []service `hcl:"services"`
	Ports     struct{ DNS, HTTP *int }
	NodeMeta  map[string]string `hcl:"node_meta"`
	RetryJoin []string          `hcl:"retry_join"`
	Entries   []*Value          `hcl:"entries"`
}

func read(t *testing.T, src string, format Format) (*file, error) {
	t.Helper()
	v, err := Parse("a."+string(format), []byte(src), format)
	if err != nil {
		return nil, err
	}
	var f file
	return &f, Decode(v, &f)
}

func TestBothNotationsGiveTheSame(t *testing.T) {
	yes := true
	want := &file{
		Service: &service{
			Name: "web", Port: 80, Tags: []string{"a", "b"}, Meta: map[string]string{"k": "v"},
			Upstreams: []upstream{{"db", 9000}}, TTL: 90 * time.Second, Weight: 0.5, Native: &yes, Args: []string{"/bin/true"},
			Config: map[string]any{"protocol": "http", "limits": map[string]any{"max": 5.0}, "list": []any{map[string]any{"x": 1.0}}},
		},
		NodeMeta:  map[string]string{"rack": "r9"},
		RetryJoin: []string{"10.0.0.1"},
	}
	sources := map[string]struct {
		format Format
		src    string
	}{
		"blocks and snake_case": {HCL, `
			service {
				name = "web"
				port = 80
				tags = ["a", "b"]
				meta { k = "v" }
				upstreams { destination_name = "db" local_bind_port = 9000 }
				ttl    = "1m30s" # a comment
				weight = 0.5
				native = true
				args   = ["/bin/true"]
				config { protocol = "http", limits { max = 5 }, list = [{ x = 1 }] }
			}
			node_meta { rack = "r9" }
			retry_join = ["10.0.0.1"]`},
		"assignments and CamelCase": {HCL, `
			Service = {
				Name = "web", Port = 0x50, Tags = ["a", "b"], Meta = { k = "v" }
				Upstreams = [{ DestinationName = "db", LocalBindPort = 9000 }]
				TTL = "90s", Weight = 5e-1, Native = true, ScriptArgs = ["/bin/true"]
				Config = { protocol = "http", limits = { max = 5 }, list = [{ x = 1 }] }
			}
			NodeMeta = [{ rack = "r9" }]
			RetryJoin = ["10.0.0.1"]`},
		"json": {JSON, `{
			"service": {
				"name": "web", "port": 80, "tags": ["a", "b"], "meta": {"k": "v"},
				"upstreams": [{"destination_name": "db", "localBindPort": 9000}],
				"ttl": "1m30s", "weight": 0.5, "native": true, "args": ["/bin/true"],
				"config": {"protocol": "http", "limits": {"max": 5}, "list": [{"x": 1}]}
			},
			"node_meta": {"rack": "r9"}, "retry_join": ["10.0.0.1"], "ports": null}`},
	}
	for name, s := range sources {
		t.Run(name, func(t *testing.T) {
			got, err := read(t, s.src, s.format)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				g, _ := json.Marshal(got)
				w, _ := json.Marshal(want)
				t.Errorf("got  %s\nwant %s", g, w)
			}
		})
	}
}

func TestBlocksGatherInAList(t *testing.T) {
	got, err := read(t, `
		services { name = "a" }
		services { name = "b" }`, HCL)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Services) != 2 || got.Services[0].Name != "a" || got.Services[1].Name != "b" {
		t.Errorf("got %+v", got.Services)
	}
}

func TestLabelsAreKeys(t *testing.T) {
	v, err := Parse("p.hcl", []byte(`
		key "a" { policy = "read" }
		key "b/c" { policy = "write" }
		node_prefix "" { policy = "deny" }`), HCL)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"key":         map[string]any{"a": map[string]any{"policy": "read"}, "b/c": map[string]any{"policy": "write"}},
		"node_prefix": map[string]any{"": map[string]any{"policy": "deny"}},
	}
	if got := v.Any(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestHeredoc(t *testing.T) {
	got, err := read(t, "service {\n name = <<EOF\nline 1\nline 2\nEOF\n}\n", HCL)
	if err != nil {
		t.Fatal(err)
	}
	if got.Service.Name != "line 1\nline 2\n" {
		t.Errorf("got %q", got.Service.Name)
	}
}

func TestErrors(t *testing.T) {
	cases := []struct {
		name   string
		format Format
		src    string
		want   []string // all of them, in one error
	}{
		{"unknown key", HCL, "service {\n  prot = 80\n}", []string{"a.hcl:2: unknown key service.prot (did you mean port?)"}},
		{"unknown key in JSON", JSON, "{\n\"service\": {\n\n\"prot\": 80}}", []string{"a.json:4: unknown key service.prot (did you mean port?)"}},
		{"unknown key at the top", HCL, `servce { }`, []string{"a.hcl:1: unknown key servce (did you mean service?)"}},
		{"nothing is near", HCL, `frobnicate = 1`, []string{"a.hcl:1: unknown key frobnicate"}},
		{"one of several elements", JSON, `{"services": [{}, {"upstreams": [{"local_bnd_port": 1}]}]}`,
			[]string{"unknown key services[1].upstreams.local_bnd_port (did you mean local_bind_port?)"}},
		{"hidden field", HCL, `service { secret = "x" }`, []string{"unknown key service.secret"}},
		{"several at once", HCL, "service {\n prot = 1\n name = 2\n}\nretry_join = true", []string{
			"a.hcl:2: unknown key service.prot", "a.hcl:3: service.name wants a string, not 2", `a.hcl:5: retry_join wants a list such as ["a", "b"], not true`}},
		{"string for a number", HCL, `service { port = "80" }`, []string{`a.hcl:1: service.port wants a whole number that is not negative, not the string "80"`}},
		{"fraction for a whole number", JSON, `{"ports": {"dns": 1.5}}`, []string{`ports.dns wants a whole number, not 1.5`}},
		{"number too large", JSON, `{"service": {"port": 65536}}`, []string{`service.port: 65536 is out of range`}},
		{"number for a duration", HCL, `service { ttl = 10 }`, []string{`service.ttl wants a duration such as "10s", not 10`}},
		{"bad duration", HCL, `service { ttl = "10" }`, []string{`service.ttl wants a duration such as "10s", not the string "10"`}},
		{"string for a boolean", HCL, `service { native = "yes" }`, []string{`service.native wants true or false, not the string "yes"`}},
		{"list for a block", JSON, `{"service": []}`, []string{`service wants a block of keys, not a list`}},
		{"string in a list", JSON, `{"retry_join": ["a", 1]}`, []string{`retry_join[1] wants a string, not 1`}},
		{"duplicate key", HCL, "service {\n name = \"a\"\n name = \"b\"\n}", []string{"a.hcl:3: service.name is already set in line 2"}},
		{"duplicate key in JSON", JSON, "{\"retry_join\": [],\n\"retry_join\": []}", []string{"a.json:2: retry_join is already set in line 1"}},
		{"duplicate in two spellings", HCL, "retry_join = []\nRetryJoin = []", []string{"a.hcl:2: RetryJoin is already set in line 1, as retry_join"}},
		{"block and assignment", HCL, "service = {}\nservice {}", []string{"a.hcl:2: service is already set in line 1"}},
		{"block twice", HCL, "service {}\nservice {}", []string{"a.hcl:2: service is already set in line 1; several go into services"}},
		{"no value before a brace", HCL, "service {\n name = \n}", []string{"a.hcl:2: not valid HCL: service.name has no value"}},
		{"no value before two braces", HCL, "service {\n name = }}", []string{"a.hcl:2: not valid HCL: service.name has no value"}},
		{"no value at the end", HCL, "retry_join = []\nencrypt = ", []string{"a.hcl:2: not valid HCL: encrypt has no value"}},
		{"no value before a comment", HCL, "encrypt = # later\n", []string{"a.hcl:1: not valid HCL: encrypt has no value"}},
		{"no value before a key", HCL, "encrypt =\r\nretry_join = []", []string{"a.hcl:1: not valid HCL: encrypt has no value"}},
		{"no value before a comma", HCL, "service { name =, port = 1 }", []string{"a.hcl:1: not valid HCL: service.name has no value"}},
		{"no value in a list", HCL, `retry_join = ["a", , "b"]`, []string{"a.hcl:1: not valid HCL: retry_join has no value before this comma"}},
		{"no value at a list's start", HCL, `retry_join = [, "b"]`, []string{"a.hcl:1: not valid HCL: retry_join has no value before this comma"}},
		{"key alone", HCL, "retry_join = []\nencrypt", []string{"a.hcl:2: not valid HCL: encrypt has no value"}},
		{"key alone in a block", HCL, "service {\n name\n}", []string{"a.hcl:2: not valid HCL: service.name has no value"}},
		{"key alone before a block", HCL, "node_meta\nservice {}", []string{"a.hcl:1: not valid HCL: node_meta has no value"}},
		{"no equals sign", HCL, "encrypt \"abc\"\nservice {}", []string{"a.hcl:1: not valid HCL: encrypt has no equals sign before its value"}},
		{"no equals sign before a number", HCL, "service {\n port 80\n}", []string{"a.hcl:2: not valid HCL: service.port has no equals sign before its value"}},
		{"no quotes", HCL, "service {\n name = web\n}", []string{"a.hcl:2: not valid HCL: service.name: text must stand in quotes"}},
		{"unclosed block", HCL, "service {", []string{"a.hcl:1: not valid HCL: the { of service is not closed"}},
		{"unclosed list", HCL, "service {\n tags = [\"a\"\n}\n}", []string{"a.hcl:2: not valid HCL: the [ of service.tags is not closed before the } in line 3"}},
		{"one brace too many", HCL, "service {\n}\n}", []string{"a.hcl:3: not valid HCL: } closes nothing"}},
		{"unclosed string", HCL, "node_meta {}\nencrypt = \"abc", []string{"a.hcl:2: not valid HCL"}},
		{"unclosed text", HCL, "encrypt = <<EOF\nabc\n", []string{"not valid HCL"}},
		{"overlooked end of a text", HCL, "service {\n name = <<-EOF\nx\nEOF\n}\na = <<-EOF\n  y\n  EOF\n",
			[]string{"a.hcl:4: not valid HCL: service.name: the EOF that ends a text begun with <<- must be indented"}},
		{"text after a value", HCL, "encrypt = \"abc\" def", []string{"a.hcl:1: not valid HCL: def has no value"}},
		{"broken JSON", JSON, "{\n\"service\": nope}", []string{"a.json:2: not valid JSON"}},
		{"torn JSON", JSON, `{"service": {`, []string{"a.json:1: not valid JSON"}},
		{"JSON that is no object", JSON, `[1]`, []string{"a.json:1: not valid: the file must be a JSON object, not a list"}},
		{"two JSON objects", JSON, "{}\n{}", []string{"a.json:2: more text after the end"}},
		{"deep HCL", HCL, "a = " + strings.Repeat("[", 100000), []string{"nested more than 64 levels deep"}},
		{"deep JSON", JSON, `{"a": ` + strings.Repeat("[", 5000), []string{"nested more than 64 levels deep"}},
		{"huge number", JSON, `{"service": {"weight": 1e999}}`, []string{"1e999 is not a number"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := read(t, c.src, c.format)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got  %v\nwant %s", err, want)
				}
			}
		})
	}
}

func TestDecoderHooks(t *testing.T) {
	v, err := Parse("a.hcl", []byte("ports {\n dns = 1\n}\naudit { enabled = true }"), HCL)
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]string{}
	d := Decoder{
		Unknown: func(path string, v *Value) bool { return path == "audit" && v.Lookup("enabled").True },
		Set:     func(path string, pos Pos) { set[path] = pos.String() },
	}
	if err := d.Decode(v, new(file)); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"ports": "a.hcl:1", "ports.dns": "a.hcl:2"}
	if !reflect.DeepEqual(set, want) {
		t.Errorf("got %v", set)
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if v, err := ReadFile(write("a.json", "\ufeff{\"a\": 1}"), ""); err != nil || v.Lookup("a") == nil {
		t.Errorf("json with a byte-order mark: %v, %v", v, err)
	}
	if v, err := ReadFile(write("b.conf", "a = 1"), HCL); err != nil || v.Lookup("a") == nil {
		t.Errorf("hcl by format: %v, %v", v, err)
	}
	if v, err := ReadFile(write("empty.json", ""), ""); err != nil || v.Kind != Object {
		t.Errorf("empty: %v, %v", v, err)
	}
	if _, err := ReadFile(write("c.conf", "a = 1"), ""); err == nil || !strings.Contains(err.Error(), "c.conf: the name must end in") {
		t.Errorf("unknown format: %v", err)
	}
	if _, err := ReadFile(write("big.hcl", strings.Repeat(" ", MaxSize+1)), ""); err == nil || !strings.Contains(err.Error(), "at most 4194304") {
		t.Errorf("too large: %v", err)
	}
	if _, err := ReadFile(filepath.Join(dir, "none.hcl"), ""); err == nil || !strings.Contains(err.Error(), "none.hcl") {
		t.Errorf("missing: %v", err)
	}
}

func TestSnake(t *testing.T) {
	for in, want := range map[string]string{
		"EnableTagOverride": "enable_tag_override", "TLSServerName": "tls_server_name", "ID": "id", "GRPCUseTLS": "grpc_use_tls",
		"OSService": "os_service", "H2PING": "h2ping", "retry_join": "retry_join", "MutualTLSMode": "mutual_tls_mode",
	} {
		if got := snake(in); got != want {
			t.Errorf("snake(%s) = %s, want %s", in, got, want)
		}
	}
}

// Whatever the bytes are, there is a tree or an error that says where, and the tree can be decoded and printed.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`service { name = "web" port = 80 tags = ["a"] meta { k = "v" } }`, "a = <<EOF\nx\nEOF\n", "a = <<-EOF\n  x\n  EOF\n", `key "a" { policy = "x" }`,
		`{"service": {"name": "web", "ttl": "1s", "config": {"a": [1, null, {"b": true}]}}}`, `a = "${b["c"]}"`, `a = "\u12"`, "a = 1e9999", `"a" "b" "c" {}`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, src []byte, asJSON bool) {
		format := HCL
		if asJSON {
			format = JSON
		}
		v, err := Parse("f", src, format)
		if err == nil && !asJSON { // what is torn off shows, whatever stands before it
			for _, tail := range []string{"\nx = ", "\nx = # none", "\nx", "\n}", "\nx { y = }}", "\nx { y = [}}"} {
				if _, terr := Parse("f", append(slices.Clip(src), tail...), HCL); terr == nil {
					t.Fatalf("%q after a whole file passes", tail)
				}
			}
		}
		if err == nil {
			if _, merr := json.Marshal(v); merr != nil {
				t.Fatalf("marshal: %v", merr)
			}
			err = Decode(v, new(file))
		}
		if err != nil && !strings.HasPrefix(err.Error(), "f") {
			t.Fatalf("error without a place: %v", err)
		}
	})
}
