// Package archive is the file in which a snapshot of the servers' state is kept: a gzip'd tar of meta.json, which says what it is,
// state.bin, which is the state, and SHA256SUMS of both, as the public documentation has it.
//
// Behind the tar stands an empty gzip member with a checksum of every byte before it, which tar and gzip pass over. So a flipped
// bit is found wherever it is, also where gzip itself would not care, and a file that was cut short is told from a whole one.
//
// The package knows nothing of the state itself, and holds none of it in memory.
package archive

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// Product and Format are what Meta says of an archive of this release.
const (
	Product = "parley"
	Format  = 1
)

// The files of an archive, in this order.
const (
	metaName  = "meta.json"
	stateName = "state.bin"
	sumsName  = "SHA256SUMS"
)

// Bounds on what is read into memory.
const (
	maxMeta = 64 << 10
	maxSums = 4 << 10
)

// Meta says what an archive holds.
type Meta struct {
	Product    string    // always Product
	Format     int       // of the archive
	Release    string    // of Parley, that wrote it
	ID         string    // term, index and time
	Index      uint64    // of the last change that it holds
	Term       uint64    // in which that was known
	Version    int       // of Raft's snapshots, as clients know it from elsewhere
	Size       int64     // of state.bin, in bytes
	Created    time.Time // UTC
	Datacenter string
}

// Identify fills in what follows from the rest.
func (m *Meta) Identify() {
	m.Product, m.Format, m.Version = Product, Format, 1
	m.ID = fmt.Sprintf("%d-%d-%d", m.Term, m.Index, m.Created.UnixMilli())
}

// Plan is an archive about to be written: a tar says how long a file is before it.
type Plan struct {
	meta []byte
	sums []byte
	size int64
	dump func(io.Writer) error
	sum  [sha256.Size]byte
}

// Prepare measures what dump writes, which is called again when the archive is written, and must then write the same. It fills in
// the size.
func Prepare(m *Meta, dump func(io.Writer) error) (*Plan, error) {
	c := &counter{sum: sha256.New()}
	if err := dump(c); err != nil {
		return nil, err
	}
	m.Size = c.n
	meta, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	p := &Plan{meta: append(meta, '\n'), size: c.n, dump: dump}
	c.sum.Sum(p.sum[:0])
	p.sums = sumsOf(sha256.Sum256(p.meta), p.sum)
	return p, nil
}

func sumsOf(meta, state [sha256.Size]byte) []byte {
	return fmt.Appendf(nil, "%x  %s\n%x  %s\n", meta, metaName, state, stateName)
}

// counter counts what is written, and sums it up.
type counter struct {
	n   int64
	sum hash.Hash
	to  io.Writer // may be nil
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	_, _ = c.sum.Write(p)
	if c.to == nil {
		return len(p), nil
	}
	return c.to.Write(p)
}

// Write writes the archive.
func (p *Plan) Write(w io.Writer) error {
	all := &counter{sum: sha256.New(), to: w}
	z, err := gzip.NewWriterLevel(all, gzip.BestSpeed)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	if err := add(t, metaName, p.meta); err != nil {
		return err
	}
	if err := t.WriteHeader(file(stateName, p.size)); err != nil {
		return err
	}
	c := &counter{sum: sha256.New(), to: t}
	if err := p.dump(c); err != nil {
		return err
	}
	if c.n != p.size || [sha256.Size]byte(c.sum.Sum(nil)) != p.sum {
		return errors.New("the state was written differently the second time; this is a fault in Parley")
	}
	if err := add(t, sumsName, p.sums); err != nil {
		return err
	}
	if err := errors.Join(t.Close(), z.Close()); err != nil {
		return err
	}
	_, err = w.Write(end(all.sum))
	return err
}

func file(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: size, Format: tar.FormatPAX}
}

func add(t *tar.Writer, name string, data []byte) error {
	if err := t.WriteHeader(file(name, int64(len(data)))); err != nil {
		return err
	}
	_, err := t.Write(data)
	return err
}

// end is the last gzip member: nothing, with a field that holds the sum of all before. See RFC 1952; the field's id is PS.
func end(sum hash.Hash) []byte {
	out := []byte{
		0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, // magic, deflate, there is a field, no time, no flags, unknown system
		4 + sha256.Size, 0, 'P', 'S', sha256.Size, 0,
	}
	out = sum.Sum(out)
	return append(out, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0) // an empty block, and the sum and length of nothing
}
