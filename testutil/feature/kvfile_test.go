package feature

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// TestKVFile takes keys out of one cluster and puts them into another: with their flags, whatever their values are, and beneath a
// prefix when that is asked for.
func TestKVFile(t *testing.T) {
	from, to := testutil.Dev(t), testutil.Dev(t)
	large := make([]byte, 512<<10) // the most that a key holds
	for i := range large {
		large[i] = byte(rand.Int())
	}
	pairs := []api.KVPair{
		{Key: "app/a", Value: []byte("plain\n"), Flags: 7}, {Key: "app/b", Value: []byte{}}, {Key: "app/c//d", Value: []byte{0, 255, '\n'}, Flags: 1<<64 - 1},
		{Key: "app/dir/", Value: []byte("ends with a slash")}, {Key: "app/große Schlüssel/&?", Value: []byte("<ü>")}, {Key: "app/large", Value: large},
	}
	for _, p := range pairs {
		if err := from.API.KV().Put(t.Context(), &p, nil); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, []byte(from.Must("kv", "export", "app/")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ prefix, before string }{{"", ""}, {"copy", "copy/"}, {"/copies/of/", "copies/of/"}} {
		out := to.Must("kv", "import", "-prefix="+c.prefix, "@"+file)
		for _, p := range pairs {
			if !strings.Contains(out, "Imported: "+c.before+p.Key+"\n") {
				t.Errorf("-prefix=%s: %s is missing in\n%s", c.prefix, p.Key, out)
			}
			got, _, err := to.API.KV().Get(t.Context(), c.before+p.Key, nil)
			if err != nil || got == nil || !bytes.Equal(got.Value, p.Value) || got.Flags != p.Flags {
				t.Errorf("-prefix=%s: %s has not come over, %v", c.prefix, p.Key, err)
			}
		}
	}
	if first, again := from.Must("kv", "export", "app/"), to.Must("kv", "export", "app/"); first != again {
		t.Error("what was imported is exported as something else")
	}

	// One that is too large is refused by its name, and what was done before is told.
	bad, err := json.Marshal([]map[string]any{{"key": "x/1", "value": []byte("1")}, {"key": "x/2", "value": append(slices.Clone(large), 1)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := to.Run("kv", "import", "@"+file)
	if code != 1 || out != "Imported: x/1\n" || !strings.Contains(errs, `writing key "x/2" (1 of 2 are written)`) {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	// A file that is damaged writes nothing.
	if err := os.WriteFile(file, []byte(`[{"key":"y/1","value":""},{"value":""}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := to.Run("kv", "import", "@"+file); code != 1 || out != "" || !strings.Contains(errs, "entry 1") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	if out := to.Must("kv", "get", "-keys", "y/"); out != "" {
		t.Error(out)
	}
}
