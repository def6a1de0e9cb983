package remoteexec

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParts(t *testing.T) {
	p := announcement{Prefix: "_rexec", Session: "s"}.place()
	for key, want := range map[string]string{
		p.job(): "", p.ack("web-1"): "web-1 ack", p.out("web-1", 7): "web-1 out", p.exit("web-1"): "web-1 exit",
		"_rexec/s2/web-1/ack": "", "_rexec/s//ack": "", "other": "",
	} {
		node, what, ok := p.part(key)
		if got := strings.TrimSpace(node + " " + what); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %v", key, got, ok)
		}
	}
}

// TestRefused names what an agent does not run.
func TestRefused(t *testing.T) {
	for payload, want := range map[string]string{
		`x`: "payload", `{}`: "format 0", `{"Format":9,"Prefix":"p","Session":"s"}`: "format 9", `{"Format":1,"Session":"s"}`: "prefix",
		`{"Format":1,"Prefix":"/p","Session":"s"}`: "prefix", `{"Format":1,"Prefix":"p"}`: "session", `{"Format":1,"Prefix":"p","Session":"a/b"}`: "session",
	} {
		if _, err := readAnnouncement([]byte(payload)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", payload, err)
		}
	}
	for value, want := range map[string]string{
		`x`: "job", `{"Format":2,"Args":["a"]}`: "format 2", `{"Format":1}`: "either", `{"Format":1,"Args":["a"],"Script":"YQ=="}`: "either",
		`{"Format":1,"Args":["a","b"],"Shell":true}`: "one line", `{"Format":1,"Args":[""]}`: "empty",
	} {
		if _, err := readJob([]byte(value)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"Format":1,"Prefix":"_rexec","Session":"s"}`))
	f.Add([]byte(`{"Format":1,"Args":["uptime"],"Shell":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := readAnnouncement(data); err == nil {
			if _, _, ok := a.place().part(a.place().ack("node")); !ok {
				t.Errorf("%+v: its keys are not found again", a)
			}
		}
		if j, err := readJob(data); err == nil {
			again, err := json.Marshal(j)
			if _, readErr := readJob(again); err != nil || readErr != nil {
				t.Errorf("%+v: %v, %v", j, err, readErr)
			}
		}
	})
}

// TestProgram runs programs and looks at their exit codes, as shells have them, and at what they print.
func TestProgram(t *testing.T) {
	t.Setenv("SHELL", "/bin/sh")
	for _, c := range []struct {
		job  Job
		code int
		out  string
	}{
		{Job{Args: []string{"echo a; echo b >&2"}, Shell: true}, 0, "a\nb\n"},
		{Job{Args: []string{"exit 7"}, Shell: true}, 7, ""},
		{Job{Args: []string{"kill -TERM $$"}, Shell: true}, 128 + 15, ""},
		{Job{Args: []string{"printf", "%s", "$x; y"}}, 0, "$x; y"},
		{Job{Script: []byte("echo from a script; exit 2")}, 2, "from a script\n"},
		{Job{Script: []byte("#!/bin/cat\nitself\n")}, 0, "#!/bin/cat\nitself\n"},
		{Job{Args: []string{"/no/such/program"}}, 127, ""},
	} {
		o := &output{}
		code, err := program(context.Background(), c.job, o)
		if code != c.code || string(o.buf) != c.out || (err != nil) != (c.code == 127) {
			t.Errorf("%+v: %d, %q, %v", c.job, code, o.buf, err)
		}
	}
}

// TestOutputIsBounded prints more than is kept, in pieces that end where the bound is, and in others.
func TestOutputIsBounded(t *testing.T) {
	for _, piece := range []int{1 << 10, 1000, 3 << 20} {
		o := &output{}
		for range (2 << 20 / piece) + 2 {
			if n, err := o.Write(make([]byte, piece)); n != piece || err != nil {
				t.Fatal(n, err)
			}
		}
		if kept := len(o.buf); kept < maxOutput || kept > maxOutput+100 || strings.Count(string(o.buf), "is left out") != 1 {
			t.Errorf("in pieces of %d bytes: %d are kept", piece, kept)
		}
	}
}
