package state

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/go-msgpack/v2/codec"

	parleycodec "github.com/parleymesh/parley/server/codec"
)

// A snapshot is a stream of msgpack values: a header, then for each table a section, then chunks of rows until an empty
// one. A section without a name ends it, so that a torn snapshot is told from a whole one.
const (
	snapshotMagic  = "parley-state"
	snapshotFormat = 1
	chunkRows      = 256
)

type header struct {
	Magic  string
	Format uint8
	Index  uint64 // of the last command it holds
	Floor  uint64 `json:",omitempty"` // see Store.Rebase
}

type section struct {
	Table   string
	Version uint8
}

type chunk struct {
	Keys []string
	Rows [][]byte
}

// Dump writes all rows that the transaction sees. Index is that of the last command applied.
func (tx *Tx) Dump(w io.Writer, index uint64) error {
	enc := codec.NewEncoder(w, parleycodec.Handle())
	if err := enc.Encode(header{snapshotMagic, snapshotFormat, index, tx.floor}); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	for _, t := range tables {
		if err := dumpTable(tx, enc, t); err != nil {
			return fmt.Errorf("write snapshot: %w", err)
		}
	}
	if err := enc.Encode(section{}); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

func dumpTable(tx *Tx, enc *codec.Encoder, t anyTable) error {
	if err := enc.Encode(section{t.tableName(), t.rowVersion()}); err != nil {
		return err
	}
	var c chunk
	err := t.dump(tx, func(key string, data []byte) error {
		c.Keys, c.Rows = append(c.Keys, key), append(c.Rows, data)
		if len(c.Keys) < chunkRows {
			return nil
		}
		err := enc.Encode(c)
		c = chunk{}
		return err
	})
	if err == nil && len(c.Keys) > 0 {
		err = enc.Encode(c)
	}
	if err == nil {
		err = enc.Encode(chunk{})
	}
	return err
}

// Load reads what Dump wrote into a new store and returns it with the index of the last command it holds. A table,
// version or format that this release does not know is refused: rows are never skipped.
func Load(r io.Reader) (_ *Store, index uint64, err error) {
	defer recovered(&err)
	s := New()
	tx := s.Write()
	defer tx.Abort()
	dec := codec.NewDecoder(r, parleycodec.Handle())
	h, err := readHeader(dec)
	if err != nil {
		return nil, 0, fmt.Errorf("read snapshot: %w", err)
	}
	s.floor = h.Floor
	for {
		var sec section
		if err := dec.Decode(&sec); err != nil {
			return nil, 0, fmt.Errorf("read snapshot: %w", noEOF(err))
		}
		if sec.Table == "" {
			break
		}
		if err := loadTable(tx, dec, sec); err != nil {
			return nil, 0, fmt.Errorf("read snapshot: %w", noEOF(err))
		}
	}
	tx.Commit()
	s.SetLast(h.Index)
	return s, h.Index, nil
}

func readHeader(dec *codec.Decoder) (header, error) {
	var h header
	if err := dec.Decode(&h); err != nil {
		return h, noEOF(err)
	}
	if h.Magic != snapshotMagic || h.Format != snapshotFormat {
		return h, fmt.Errorf("%q of format %d, this release reads %q of format %d", h.Magic, h.Format, snapshotMagic, snapshotFormat)
	}
	return h, nil
}

// recovered turns a panic into an error: the library reports some malformed input so, past its own recovery.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("read snapshot: %v", r)
	}
}

func loadTable(tx *Tx, dec *codec.Decoder, sec section) error {
	t := tableNamed(sec.Table)
	if t == nil {
		return fmt.Errorf("table %q is not known to this release; it was written by a newer one", sec.Table)
	}
	for {
		var c chunk
		if err := dec.Decode(&c); err != nil {
			return err
		}
		if len(c.Keys) != len(c.Rows) {
			return fmt.Errorf("table %s: %d keys for %d rows", sec.Table, len(c.Keys), len(c.Rows))
		}
		if len(c.Keys) == 0 {
			return nil
		}
		for i, key := range c.Keys {
			if err := t.load(tx, key, sec.Version, c.Rows[i]); err != nil {
				return err
			}
		}
	}
}

func tableNamed(name string) anyTable {
	for _, t := range tables {
		if t.tableName() == name {
			return t
		}
	}
	return nil
}

// noEOF turns the end of the stream where more must come into what it is.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
