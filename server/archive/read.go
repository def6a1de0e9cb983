package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Read reads an archive whole and hands the state to take while it does. Only when it returns no error was everything as it was
// written, to the last byte: what take has made of the state must not be used before. An error of take's ends it.
func Read(r io.Reader, take func(m Meta, state io.Reader) error) (Meta, error) {
	in := &summed{r: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	var taken error
	m, err := readTar(in, func(m Meta, state io.Reader) error {
		taken = take(m, state)
		return taken
	})
	if err == nil {
		err = readEnd(in)
	}
	if err == nil {
		err = taken // the archive is as it was written, and yet take cannot do with it
	}
	return m, err
}

// summed sums up what is read of the file. That it reads single bytes keeps gzip from reading ahead.
type summed struct {
	r   *bufio.Reader
	sum hash.Hash
	one [1]byte
}

// Read implements io.Reader.
func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	_, _ = s.sum.Write(p[:n])
	return n, err
}

// ReadByte implements io.ByteReader.
func (s *summed) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err == nil {
		s.one[0] = b
		_, _ = s.sum.Write(s.one[:])
	}
	return b, err
}

func readTar(in *summed, take func(Meta, io.Reader) error) (Meta, error) {
	var m Meta
	z, err := gzip.NewReader(in)
	if err != nil {
		return m, decompress(err)
	}
	z.Multistream(false)
	t := tar.NewReader(z)
	if err := next(t, metaName); err != nil {
		return m, err
	}
	meta, err := io.ReadAll(io.LimitReader(t, maxMeta+1))
	if err != nil {
		return m, damaged(metaName, err)
	}
	if m, err = parseMeta(meta); err != nil {
		return m, err
	}
	if err := next(t, stateName); err != nil {
		return m, err
	}
	state := &counter{sum: sha256.New()}
	var stopped *takeError
	if errors.As(take(m, io.TeeReader(t, state)), &stopped) {
		return m, stopped.err
	}
	// What take did not care for is read as well: whether its error is the archive's fault, the checksums tell.
	_, err = io.Copy(state, t)
	switch {
	case err != nil:
		return m, damaged(stateName, err)
	case state.n != m.Size:
		return m, damaged(stateName, fmt.Errorf("it has %d bytes, and meta.json says %d", state.n, m.Size))
	}
	if err := next(t, sumsName); err != nil {
		return m, err
	}
	sums, err := io.ReadAll(io.LimitReader(t, maxSums+1))
	if err != nil {
		return m, damaged(sumsName, err)
	}
	if want := sumsOf(sha256.Sum256(meta), [sha256.Size]byte(state.sum.Sum(nil))); !bytes.Equal(sums, want) {
		return m, errors.New("the snapshot is damaged: its contents do not match their checksums in " + sumsName)
	}
	if _, err := t.Next(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("there is more in it than belongs there")
		}
		return m, damaged("the archive", err)
	}
	// The end of the tar may be padded, and gzip's own sum stands behind.
	if _, err := io.Copy(io.Discard, z); err != nil {
		return m, damaged("the archive", err)
	}
	return m, nil
}

// takeError is an error that has nothing to do with the archive.
type takeError struct{ err error }

// Error implements error.
func (e *takeError) Error() string { return e.err.Error() }

// Refuse is for take, to end the reading at once, whatever else is in the archive. The error is returned as it is.
func Refuse(err error) error { return &takeError{err} }

// readEnd reads the last member and makes sure that nothing follows.
func readEnd(in *summed) error {
	want := end(in.sum)
	have, err := io.ReadAll(io.LimitReader(in.r, int64(len(want))+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the snapshot: %w", err)
	case len(have) == 0:
		return errors.New("the snapshot is damaged: its end is missing, or it was packed anew by another program")
	case len(have) < len(want):
		return errors.New("the snapshot is damaged: its end is missing")
	case !bytes.Equal(have, want):
		return errors.New("the snapshot is damaged: it does not match the checksum at its end")
	}
	return nil
}

// next goes to the next file, which must be the one of that name.
func next(t *tar.Reader, name string) error {
	h, err := t.Next()
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the snapshot is damaged: there is no %s in it where it belongs", name)
	case err != nil:
		return damaged("the archive", err)
	case h.Name != name || h.Typeflag != tar.TypeReg:
		return fmt.Errorf("the snapshot is damaged, or no snapshot: there is %q in it where %s belongs", h.Name, name)
	}
	return nil
}

func decompress(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("failed to decompress snapshot: %w", err)
}

// damaged says what is damaged, and where an end came too early that it did.
func damaged(what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the snapshot is damaged: it ends in the midst of %s: %w", what, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("the snapshot is damaged: %s: %w", what, err)
}

func parseMeta(data []byte) (Meta, error) {
	var m Meta
	if len(data) > maxMeta {
		return m, fmt.Errorf("the snapshot is damaged: its %s has more than %d bytes", metaName, maxMeta)
	}
	// What the format is must be known before what else may be in it.
	var which struct {
		Product       string
		Format        int
		Configuration json.RawMessage // of Raft, in Consul's
	}
	if err := json.Unmarshal(data, &which); err != nil {
		return m, damaged(metaName, err)
	}
	switch {
	case which.Product == "" && which.Configuration != nil:
		return m, errors.New("this is a snapshot of Consul's servers, whose format this release does not read; " +
			"carry keys over with kv export and kv import, and config entries with config read and config write")
	case which.Product != Product:
		return m, fmt.Errorf("this is no snapshot of Parley: its %s names the product %q", metaName, which.Product)
	case which.Format != Format:
		return m, fmt.Errorf("the snapshot has format %d, and this release reads format %d: it was written by another release, use that one", which.Format, Format)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, damaged(metaName, err)
	}
	return m, nil
}
