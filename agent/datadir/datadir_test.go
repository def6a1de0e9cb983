package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestOneHolder(t *testing.T) {
	d := open(t)
	_, err := Open(d.Path())
	want := fmt.Sprintf("data directory %s is in use by process %d; stop that agent or choose another directory", d.Path(), os.Getpid())
	if err == nil || err.Error() != want {
		t.Fatalf("got  %v\nwant %s", err, want)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(d.Path())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestCreatedForThisUserOnly(t *testing.T) {
	info, err := os.Stat(open(t).Path())
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestUnusableDirectories(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{file: "not a directory", filepath.Join(file, "below"): "not a directory"}
	if os.Getuid() != 0 { // root may write anywhere
		sealed := filepath.Join(t.TempDir(), "sealed")
		if err := os.Mkdir(sealed, 0o500); err != nil {
			t.Fatal(err)
		}
		paths[sealed] = "permission denied"
	}
	for path, want := range paths {
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

type record struct{ Name string }

func TestVersionedFiles(t *testing.T) {
	d := open(t)
	if err := d.ReadVersioned("services/web", 1, new(record)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	for _, name := range []string{"db", "web"} {
		if err := d.WriteVersioned(filepath.Join("services", name), 1, record{name}); err != nil {
			t.Fatal(err)
		}
	}
	var r record
	if err := d.ReadVersioned("services/web", 1, &r); err != nil || r.Name != "web" {
		t.Errorf("%+v, %v", r, err)
	}
	if err := os.WriteFile(d.Path("services", "torn"+tmpExt), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := d.List("services")
	if err != nil || !reflect.DeepEqual(names, []string{"services/db", "services/web"}) {
		t.Errorf("%v, %v", names, err)
	}
	if err := errors.Join(d.Remove("services/db"), d.Remove("services/db")); err != nil {
		t.Error(err)
	}
	if names, err := d.List("none"); names != nil || err != nil {
		t.Errorf("%v, %v", names, err)
	}
}

func TestDamagedFilesStay(t *testing.T) {
	contents := map[string]string{
		"empty":         "",
		"torn":          `{"version":1,"data":{"Na`,
		"no version":    `{"data":{"Name":"x"}}`,
		"wrong type":    `{"version":1,"data":{"Name":7}}`,
		"unknown field": `{"version":1,"data":{"Nome":"x"}}`,
		"trailing":      `{"version":1,"data":{"Name":"x"}}{}`,
		"newer":         `{"version":2,"data":{"Name":"x"}}`,
	}
	for name, text := range contents {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			if err := d.WriteFile("f", []byte(text)); err != nil {
				t.Fatal(err)
			}
			err := d.ReadVersioned("f", 1, new(record))
			if err == nil || !strings.Contains(err.Error(), d.Path("f")) || !strings.Contains(err.Error(), "move ") {
				t.Errorf("read: %v", err)
			}
			if name == "newer" && !strings.Contains(err.Error(), "format version 2") {
				t.Errorf("read: %v", err)
			}
			if err := d.WriteVersioned("f", 1, record{"y"}); err == nil {
				t.Error("written over")
			}
			if got, _ := d.ReadFile("f"); string(got) != text {
				t.Errorf("now %s", got)
			}
		})
	}
}

func TestNamesStayInside(t *testing.T) {
	d := open(t)
	for _, name := range []string{"../x", "/etc/x", "", "a/../../x"} {
		if d.WriteFile(name, nil) == nil || d.Remove(name) == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}
