package command_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parleymesh/parley/command"
)

var update = flag.Bool("update", false, "write down what the commands answer now")

// TestSessions types what stands in testdata/*.txt and compares the answers. Each file is a session with one agent: lines that
// begin with a $ are typed, what follows is shown, with stderr| before what comes from there, and the exit status.
func TestSessions(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sessions: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			abs, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			startPeer(t)
			t.Chdir("testdata/files")
			var got bytes.Buffer
			for part := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n\n$ ") {
				line, _, _ := strings.Cut(strings.TrimPrefix(part, "$ "), "\n")
				answer := session(t, line)
				if want := "$ " + strings.TrimPrefix(part, "$ ") + "\n"; answer != want && !*update {
					t.Errorf("got:\n%s\nwant:\n%s", answer, want)
				}
				got.WriteString(answer + "\n")
			}
			if *update {
				if err := os.WriteFile(abs, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// session types one line and returns how it looks.
func session(t *testing.T, line string) string {
	t.Helper()
	typed, stdin, _ := strings.Cut(line, "   # stdin: ")
	stdin = strings.ReplaceAll(strings.Trim(stdin, "'"), `\n`, "\n")
	out, errs, code := run(stdin, words(t, typed)...)
	var b strings.Builder
	fmt.Fprintf(&b, "$ %s\n%s", line, out)
	for l := range strings.Lines(errs) {
		b.WriteString("stderr| " + l)
	}
	fmt.Fprintf(&b, "exit %d\n", code)
	return b.String()
}

// run is the program.
func run(stdin string, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = command.Run(args, strings.NewReader(stdin), &out, &errs)
	return out.String(), errs.String(), code
}

// words splits a line as a shell does, with ” as the only quotes.
func words(t *testing.T, line string) []string {
	t.Helper()
	var all []string
	word, begun, quoted := "", false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, begun = !quoted, true
		case r == ' ' && !quoted:
			if begun {
				all = append(all, word)
			}
			word, begun = "", false
		default:
			word, begun = word+string(r), true
		}
	}
	if quoted {
		t.Fatalf("no closing quote: %s", line)
	}
	if begun {
		all = append(all, word)
	}
	return all
}
