package feature

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parleymesh/parley/testutil"
)

// TestDebug collects what helps to understand an agent, with profiles and without.
func TestDebug(t *testing.T) {
	a := testutil.Dev(t, "-hcl=enable_debug = true")
	a.Must("kv", "put", "secret", "hunter2-value")
	dir := t.TempDir()
	out := a.Must("debug", "-duration=2s", "-interval=1s", "-output="+filepath.Join(dir, "all"))
	if !strings.Contains(out, "Wrote "+filepath.Join(dir, "all.tar.gz")) {
		t.Errorf("debug printed %q", out)
	}
	files := unpack(t, filepath.Join(dir, "all.tar.gz"))
	for _, name := range []string{
		"index.json", "agent.json", "host.json", "members.json", "raft.json", "autopilot.json", "parley.log",
		"001/metrics.json", "001/heap.prof", "001/goroutine.txt", "001/profile.prof", "002/metrics.json",
	} {
		if len(files["all/"+name]) == 0 {
			t.Errorf("%s is missing or empty; there are %d files, and the index says %s", name, len(files), files["all/index.json"])
		}
	}
	for name, text := range files {
		if strings.Contains(text, "hunter2-value") {
			t.Errorf("%s shows the value of a key", name)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, errs, code := a.Run("debug", "-duration=2s", "-output="+filepath.Join(dir, "all")); code != 1 || !strings.Contains(errs, "is there already") {
		t.Errorf("over a file that is there: %d %q", code, errs)
	}
	if _, errs, code := a.Run("debug", "-capture=everything"); code != 1 || !strings.Contains(errs, `-capture "everything" is not known`) {
		t.Errorf("an unknown capture: %d %q", code, errs)
	}

	plain := testutil.Dev(t, "-hcl=enable_debug = false")
	_, errs, code := plain.Run("debug", "-duration=1s", "-capture=pprof", "-capture=members", "-archive=false", "-output="+filepath.Join(dir, "plain"))
	if code != 0 || !strings.Contains(errs, "enable_debug") {
		t.Errorf("without enable_debug: %d %q; want the setting named", code, errs)
	}
	names, err := os.ReadDir(filepath.Join(dir, "plain"))
	if err != nil || !slices.ContainsFunc(names, func(e os.DirEntry) bool { return e.Name() == "members.json" }) {
		t.Errorf("without an archive there is %v, %v", names, err)
	}
}

func unpack(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	packed := tar.NewReader(zipped)
	for {
		h, err := packed.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(packed)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = string(data)
	}
}
