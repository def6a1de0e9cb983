package datadir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const journalName = "local/j"

// openJournal returns a journal and what it logs.
func openJournal(t testing.TB, d *Dir) (*Journal, *bytes.Buffer, error) {
	t.Helper()
	var said bytes.Buffer
	j, err := d.OpenJournal(journalName, 1, slog.New(slog.NewTextHandler(&said, nil)))
	if err == nil {
		t.Cleanup(func() { _ = j.Close() })
	}
	return j, &said, err
}

func mustJournal(t testing.TB, d *Dir) *Journal {
	t.Helper()
	j, _, err := openJournal(t, d)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func put(key, value string) Change { return Change{key, []byte(value)} }

func appendTo(t testing.TB, j *Journal, changes ...Change) {
	t.Helper()
	if err := j.Append(changes); err != nil {
		t.Fatal(err)
	}
}

// says is a journal's values as text.
func says(j *Journal) map[string]string {
	out := map[string]string{}
	for k, v := range j.All() {
		out[k] = string(v)
	}
	return out
}

func wantSays(t *testing.T, j *Journal, want map[string]string) {
	t.Helper()
	if got := says(j); !maps.Equal(got, want) {
		t.Errorf("the journal says %v, want %v", got, want)
	}
}

func TestJournalKeeps(t *testing.T) {
	d := open(t)
	j := mustJournal(t, d)
	if _, err := d.ReadFile(journalName); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a file before anything was said: %v", err)
	}
	appendTo(t, j)
	appendTo(t, j, put("a", "1"))
	appendTo(t, j, put("b", "2"), put("", "no key"), put("a", "3"))
	appendTo(t, j, Change{Key: "b"}, put("c", ""), Change{Key: "never"})
	want := map[string]string{"a": "3", "": "no key", "c": ""}
	wantSays(t, j, want)
	wantSays(t, mustJournal(t, d), want) // without a Close, as after a kill
	if j.Same("a", []byte("1")) || !j.Same("a", []byte("3")) || j.Same("c", nil) || !j.Same("c", []byte{}) || !j.Same("b", nil) {
		t.Error("it does not know what is the same")
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if err := j.Append([]Change{put("a", "4")}); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("append after Close: %v", err)
	}
	j = mustJournal(t, d)
	wantSays(t, j, want)
	appendTo(t, j, put("d", "5"))
	want["d"] = "5"
	wantSays(t, mustJournal(t, d), want)
}

// A journal that ends anywhere says what was appended whole, and goes on from there.
func TestJournalCutShort(t *testing.T) {
	d := open(t)
	j := mustJournal(t, d)
	ends := map[int]map[string]string{}
	for i := range 4 {
		appendTo(t, j, put(fmt.Sprint(i%3), strings.Repeat("v", i)), put("last", fmt.Sprint(i)))
		ends[int(j.size)] = says(j)
	}
	data, err := d.ReadFile(journalName)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for n := len(journalHead); n <= len(data); n++ {
		if ends[n] != nil {
			want = ends[n]
		}
		for _, tail := range [][]byte{nil, make([]byte, 40), bytes.Repeat([]byte{0xff}, 40)} {
			if err := d.WriteFile(journalName, append(bytes.Clone(data[:n]), tail...)); err != nil {
				t.Fatal(err)
			}
			j, said, err := openJournal(t, d)
			if err != nil {
				t.Fatalf("cut at %d: %v", n, err)
			}
			wantSays(t, j, want)
			lines := strings.Count(said.String(), "\n")
			if torn := tail != nil || n > len(journalHead) && ends[n] == nil; torn != (lines == 1) || lines > 1 {
				t.Errorf("cut at %d, it says %q", n, said)
			}
			appendTo(t, j, put("more", "x"))
			after := maps.Clone(want)
			after["more"] = "x"
			again, said, err := openJournal(t, d)
			if err != nil || said.Len() > 0 {
				t.Fatalf("cut at %d and appended to: %v, %s", n, err, said)
			}
			wantSays(t, again, after)
		}
	}
}

// A byte that differs before the last append is a refusal that says where, and nothing is changed.
func TestJournalDamaged(t *testing.T) {
	d := open(t)
	j := mustJournal(t, d)
	appendTo(t, j, put("a", "1"))
	first := int(j.size)
	appendTo(t, j, put("b", "22"))
	second := int(j.size)
	appendTo(t, j, put("c", "333"))
	good, err := d.ReadFile(journalName)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(t *testing.T, bad []byte, want string) {
		t.Helper()
		d := open(t)
		if err := d.WriteFile(journalName, bad); err != nil {
			t.Fatal(err)
		}
		_, _, err := openJournal(t, d)
		if err == nil || !strings.Contains(err.Error(), d.Path(journalName)) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q\nwant %q", err, want)
		}
		if d.WriteFile(journalName, nil) == nil {
			t.Error("written over")
		}
		if now, err := d.ReadFile(journalName); err != nil || !bytes.Equal(now, bad) {
			t.Errorf("it was changed: %v", err)
		}
	}
	for at := range second {
		offset := 0
		switch {
		case at >= first:
			offset = first
		case at >= len(journalHead):
			offset = len(journalHead)
		}
		bad := bytes.Clone(good)
		bad[at] ^= 1 << (at % 8)
		refused(t, bad, fmt.Sprintf("at offset %d", offset))
	}
	for bad, want := range map[string]string{
		"":                           "at offset 0",
		`{"ver`:                      "at offset 0",
		journalHead[:5]:              "at offset 0",
		"parley journal 2\nwhatever": "format version 2 and this release reads version 1",
	} {
		refused(t, []byte(bad), want)
	}
	newer, err := appendFrame([]byte(journalHead), int64(len(journalHead)), 2, []Change{put("a", "1")})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, newer, "format version 2 and this release reads version 1; run the release")
	// A frame in its place is none in another.
	moved := append([]byte(journalHead), good[first:second]...)
	if values, whole, err := decodeJournal(moved, 1); err != nil || len(values) != 0 || whole != len(journalHead) {
		t.Errorf("%v, %d, %v", values, whole, err)
	}
}

func TestJournalIsRewritten(t *testing.T) {
	d := open(t)
	j := mustJournal(t, d)
	want := map[string]string{}
	longest := int64(0)
	for i := range 2000 {
		key, value := fmt.Sprint(i%10), fmt.Sprint(i)+strings.Repeat("v", 2000)
		appendTo(t, j, put(key, value))
		want[key] = value
		longest = max(longest, j.size)
		if info, err := os.Stat(d.Path(journalName)); err != nil || info.Size() != j.size {
			t.Fatalf("the file is not as long as is thought: %v, %v", info, err)
		}
	}
	if longest > minRewrite+4000 {
		t.Errorf("it has grown to %d bytes", longest)
	}
	wantSays(t, j, want)
	wantSays(t, mustJournal(t, d), want)
	for key := range want {
		appendTo(t, j, Change{Key: key})
	}
	if j.live != 0 {
		t.Errorf("nothing would take %d bytes", j.live)
	}
	// What only grows is not rewritten.
	inode := func() os.FileInfo {
		info, err := os.Stat(d.Path(journalName))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if err := j.rewrite(j.values); err != nil {
		t.Fatal(err)
	}
	before := inode()
	for i := range 600 {
		appendTo(t, j, put(fmt.Sprint(i), strings.Repeat("v", 1000)))
	}
	if !os.SameFile(before, inode()) {
		t.Error("rewritten for nothing")
	}
}

// A disk that refuses leaves what was there, and the next append that it takes puts everything right.
func TestJournalOnADiskThatRefuses(t *testing.T) {
	d := open(t)
	j := mustJournal(t, d)
	appendTo(t, j, put("a", "1"))
	_ = j.file.Close() // every write fails
	if err := j.Append([]Change{put("b", "2")}); err == nil || !strings.Contains(err.Error(), d.Path(journalName)) {
		t.Errorf("appended: %v", err)
	}
	wantSays(t, j, map[string]string{"a": "1"})
	// Half of what failed is there; and the file cannot be replaced at first.
	half, err := os.OpenFile(d.Path(journalName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = half.WriteString("half")
	if err := errors.Join(err, half.Close(), os.Mkdir(d.Path(journalName)+tmpExt, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := j.Append([]Change{put("c", "3")}); err == nil {
		t.Error("appended to a file that could not be replaced")
	}
	wantSays(t, j, map[string]string{"a": "1"})
	wantSays(t, mustJournal(t, d), map[string]string{"a": "1"})
	if err := os.RemoveAll(d.Path(journalName) + tmpExt); err != nil { // WriteFile has tried to take it away, too
		t.Fatal(err)
	}
	appendTo(t, j, put("d", "4"))
	want := map[string]string{"a": "1", "d": "4"}
	wantSays(t, j, want)
	wantSays(t, mustJournal(t, d), want)
}

// A kill while the journal is rewritten leaves a file beside it that nobody looks at.
func TestJournalKilledWhileRewritten(t *testing.T) {
	d := open(t)
	j := mustJournal(t, d)
	appendTo(t, j, put("a", "1"))
	if err := os.WriteFile(d.Path(journalName)+tmpExt, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := mustJournal(t, d)
	wantSays(t, again, map[string]string{"a": "1"})
	if err := again.rewrite(again.values); err != nil {
		t.Fatal(err)
	}
	if names, err := filepath.Glob(d.Path("local", "*")); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}

func FuzzJournal(f *testing.F) {
	whole := []byte(journalHead)
	for i := range 3 {
		whole, _ = appendFrame(whole, int64(len(whole)), 1, []Change{put(fmt.Sprint(i), "value"), {Key: fmt.Sprint(i - 1)}})
		f.Add(whole)
		f.Add(whole[:len(whole)-3])
	}
	f.Add([]byte(""))
	f.Add([]byte("parley journal 9\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		values, end, err := decodeJournal(file, 1)
		if err != nil {
			if values != nil || !strings.Contains(err.Error(), "offset") {
				t.Errorf("%v with %v", err, values)
			}
			return
		}
		again, same, err := decodeJournal(file[:end], 1)
		if err != nil || same != end || !reflect.DeepEqual(again, values) {
			t.Errorf("what is whole reads as %v to %d, %v; was %v to %d", again, same, err, values, end)
		}
		var all []Change
		for k, v := range values {
			all = append(all, Change{k, v})
		}
		next, err := appendFrame(bytes.Clone(file[:end]), int64(end), 1, all)
		if err != nil {
			t.Fatal(err)
		}
		again, same, err = decodeJournal(next, 1)
		if err != nil || same != len(next) || !reflect.DeepEqual(again, values) {
			t.Errorf("with everything said twice it reads as %v to %d, %v; was %v", again, same, err, values)
		}
		if len(next) > end+1 {
			torn := next[:end+1+rand.IntN(len(next)-end-1)]
			if again, same, err = decodeJournal(torn, 1); err != nil || same != end || !reflect.DeepEqual(again, values) {
				t.Errorf("torn after %d of %d bytes: %v to %d, %v", len(torn), len(next), again, same, err)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	d, err := Open(filepath.Join(b.TempDir(), "data"))
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	j := mustJournal(b, d)
	for i := 0; b.Loop(); i++ {
		appendTo(b, j, put(fmt.Sprint(i%1000), strings.Repeat("v", 300)))
	}
}
