package logfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// dir lists what is in a directory, timestamps left out, with the files' contents.
func dir(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(path, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		name, _, old := strings.Cut(e.Name(), "-")
		if old {
			name += "-*"
		}
		out = append(out, fmt.Sprintf("%s=%s", name, strings.ReplaceAll(string(data), "\n", "")))
	}
	return strings.Join(out, " ")
}

func opened(t *testing.T, o Options) *File {
	t.Helper()
	f, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"never":        {Options{}, "p.log=abcd"},
		"by size":      {Options{MaxBytes: 5}, "p-*=ab p.log=cd"},
		"by age":       {Options{MaxAge: 90 * time.Minute}, "p-*=ab p.log=cd"},
		"each line":    {Options{MaxBytes: 1}, "p-*=a p-*=b p-*=c p.log=d"},
		"one is kept":  {Options{MaxBytes: 1, MaxFiles: 1}, "p-*=c p.log=d"},
		"none is kept": {Options{MaxBytes: 1, MaxFiles: -1}, "p.log=d"},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				c.o.Path = filepath.Join(path, "sub", "p.log")
				f := opened(t, c.o)
				for _, line := range []string{"a\n", "b\n", "c\n", "d\n"} {
					if _, err := f.Write([]byte(line)); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Hour)
				}
				if got := dir(t, filepath.Join(path, "sub")); got != c.want {
					t.Errorf("there is %s, want %s", got, c.want)
				}
			})
		})
	}
}

// TestPutAsideByOthers has logrotate move the file away, and the agent reload.
func TestPutAsideByOthers(t *testing.T) {
	path := t.TempDir()
	f := opened(t, Options{Path: filepath.Join(path, "p.log")})
	_, _ = f.Write([]byte("a\n"))
	if err := os.Rename(filepath.Join(path, "p.log"), filepath.Join(path, "p.log.1")); err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write([]byte("b\n"))
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write([]byte("c\n"))
	if got := dir(t, path); got != "p.log=c p.log.1=ab" {
		t.Errorf("there is %s", got)
	}
}

func TestOthersFilesStay(t *testing.T) {
	path := t.TempDir()
	for _, name := range []string{"p-1.txt", "p-old.log", "q-1.log"} {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := opened(t, Options{Path: filepath.Join(path, "p.log"), MaxBytes: 1, MaxFiles: -1})
	_, _ = f.Write([]byte("a\n"))
	_, _ = f.Write([]byte("b\n"))
	if got := dir(t, path); got != "p-*= p-*= p.log=b q-*=" {
		t.Errorf("there is %s", got)
	}
}

func TestCannotBeOpened(t *testing.T) {
	if _, err := Open(Options{Path: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "log_file: ") {
		t.Error(err)
	}
}
