package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// content is some state that does not compress to nothing.
func content(size int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte('a' + rng.IntN(4))
	}
	return data
}

func written(t testing.TB, state []byte) []byte {
	t.Helper()
	m := Meta{Release: "0.0.0", Index: 70, Term: 2, Created: time.Unix(1000, 0).UTC(), Datacenter: "dc1"}
	m.Identify()
	p, err := Prepare(&m, func(w io.Writer) error { _, err := w.Write(state); return err })
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read reads an archive and its state.
func read(data []byte) (Meta, []byte, error) {
	var state []byte
	m, err := Read(bytes.NewReader(data), func(_ Meta, r io.Reader) (err error) {
		state, err = io.ReadAll(r)
		return err
	})
	return m, state, err
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 100_000} {
		want := content(size)
		m, got, err := read(written(t, want))
		if err != nil || !bytes.Equal(got, want) || m.ID != "2-70-1000000" || m.Size != int64(size) || m.Index != 70 {
			t.Errorf("%d bytes: %+v, %v", size, m, err)
		}
	}
}

// Everybody's tools can look into an archive.
func TestArchiveIsATarInGzip(t *testing.T) {
	z, err := gzip.NewReader(bytes.NewReader(written(t, content(1000))))
	if err != nil {
		t.Fatal(err)
	}
	in := tar.NewReader(z)
	var names []string
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if _, err := io.Copy(io.Discard, z); err != nil {
		t.Error(err)
	}
	if fmt.Sprint(names) != "[meta.json state.bin SHA256SUMS]" {
		t.Error(names)
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	good := written(t, content(300))
	bad := bytes.Clone(good)
	for i := range good {
		for bit := range 8 {
			bad[i] ^= 1 << bit
			if _, _, err := read(bad); err == nil {
				t.Errorf("bit %d of byte %d of %d can be flipped", bit, i, len(good))
			}
			bad[i] = good[i]
		}
	}
}

func TestEveryCutAndEveryAdditionIsFound(t *testing.T) {
	good := written(t, content(300))
	for n := range len(good) {
		if _, _, err := read(good[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken for all", n, len(good))
		}
	}
	for _, more := range [][]byte{{0}, good, end(sha256.New())} {
		if _, _, err := read(append(bytes.Clone(good), more...)); err == nil {
			t.Errorf("%d more bytes are not noticed", len(more))
		}
	}
}

// packed makes an archive of other files.
func packed(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	sum := &counter{sum: sha256.New(), to: &b}
	z := gzip.NewWriter(sum)
	w := tar.NewWriter(z)
	for i := 0; i < len(files); i += 2 {
		if err := add(w, files[i], []byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	b.Write(end(sum.sum))
	return b.Bytes()
}

func TestRefusalsSayWhy(t *testing.T) {
	meta := `{"Product":"parley","Format":1,"Size":1}`
	sums := string(sumsOf(sha256.Sum256([]byte(meta)), sha256.Sum256([]byte("s"))))
	if _, _, err := read(packed(t, "meta.json", meta, "state.bin", "s", "SHA256SUMS", sums)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		data []byte
		want string
	}{
		{nil, "failed to decompress snapshot: unexpected EOF"},
		{[]byte("not a snapshot"), "failed to decompress snapshot: gzip: invalid header"},
		{packed(t), "no meta.json"},
		{packed(t, "etc/passwd", "root"), `"etc/passwd"`},
		{packed(t, "meta.json", "{"), "meta.json"},
		{packed(t, "meta.json", `{"Version":1,"ID":"2-70-1","Index":70,"Term":2,"Peers":null,"Configuration":{"Servers":[]},"Size":1}`), "Consul"},
		{packed(t, "meta.json", `{"Product":"other"}`), `"other"`},
		{packed(t, "meta.json", `{"Product":"parley","Format":2}`), "format 2, and this release reads format 1"},
		{packed(t, "meta.json", meta), "no state.bin"},
		{packed(t, "meta.json", meta, "state.bin", "more", "SHA256SUMS", sums), "4 bytes, and meta.json says 1"},
		{packed(t, "meta.json", meta, "state.bin", "s"), "no SHA256SUMS"},
		{packed(t, "meta.json", meta, "state.bin", "x", "SHA256SUMS", sums), "do not match their checksums"},
		{packed(t, "meta.json", meta, "state.bin", "s", "SHA256SUMS", sums, "more", ""), "more in it"},
		{packed(t, "meta.json", strings.Repeat(" ", maxMeta+1)), "more than"},
	} {
		if _, _, err := read(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q: %v", c.want, err)
		}
	}
}

// What take finds wrong counts when the archive itself is as it was written.
func TestErrorOfTakes(t *testing.T) {
	good := written(t, content(1000))
	unknown := errors.New("unknown table")
	take := func(Meta, io.Reader) error { return unknown }
	if _, err := Read(bytes.NewReader(good), take); !errors.Is(err, unknown) {
		t.Error(err)
	}
	if _, err := Read(bytes.NewReader(good[:len(good)-1]), take); err == nil || errors.Is(err, unknown) {
		t.Error(err)
	}
	full := func(Meta, io.Reader) error { return Refuse(unknown) }
	if _, err := Read(bytes.NewReader(good[:len(good)-1]), full); err == nil || err.Error() != unknown.Error() {
		t.Error(err)
	}
}

func TestStateThatChangesBetweenIsNoted(t *testing.T) {
	n := 0
	p, err := Prepare(new(Meta), func(w io.Writer) error {
		n++
		_, err := fmt.Fprint(w, n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(io.Discard); err == nil {
		t.Error("not noted")
	}
}

func FuzzRead(f *testing.F) {
	good := written(f, content(100))
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("not a snapshot"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, state, err := read(data)
		if err == nil && !bytes.Equal(data, good) {
			// Whoever knows the format can make another one; what it holds must still be what it says.
			again := written(t, state)
			if _, second, err := read(again); err != nil || !bytes.Equal(second, state) {
				t.Error(err)
			}
		}
	})
}
