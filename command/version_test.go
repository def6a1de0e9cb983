package command

import (
	"bytes"
	"strings"
	"testing"
)

func TestBuildDate(t *testing.T) {
	defer func(before string) { committed = before }(committed)
	for set, want := range map[string]string{"2026-11-25T03:12:04Z": "Build Date 2026-11-25T03:12:04Z\n", "": "", "yesterday": ""} {
		committed = set
		var out bytes.Buffer
		if code := Run([]string{"parley", "version"}, strings.NewReader(""), &out, &out); code != 0 {
			t.Fatal(&out)
		}
		_, after, found := strings.Cut(out.String(), "Build Date ")
		if found != (want != "") || found && "Build Date "+after != want {
			t.Errorf("%q: got %s", set, &out)
		}
	}
}
