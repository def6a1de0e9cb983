package state

import (
	"fmt"
	"io"

	"github.com/hashicorp/go-msgpack/v2/codec"

	parleycodec "github.com/parleymesh/parley/server/codec"
)

// Row is a row as it stands in a snapshot.
type Row struct {
	Table string
	Key   string // with the zero bytes that end its parts
	Data  []byte // encoded, see Value
}

// Value decodes the row into what JSON can show. What is in a table that this release does not know, it cannot tell.
func (r Row) Value() (any, error) {
	t := tableNamed(r.Table)
	if t == nil {
		return nil, nil
	}
	v, err := t.value(r.Data)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", r.Table, err)
	}
	return v, nil
}

// Inspect calls row for each row of what Dump wrote, without loading it: also for tables of a newer release.
func Inspect(r io.Reader, row func(Row) error) (err error) {
	defer recovered(&err)
	dec := codec.NewDecoder(r, parleycodec.Handle())
	if _, err := readHeader(dec); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	for {
		var sec section
		if err := dec.Decode(&sec); err != nil {
			return fmt.Errorf("read snapshot: %w", noEOF(err))
		}
		if sec.Table == "" {
			return nil
		}
		for {
			var c chunk
			if err := dec.Decode(&c); err != nil {
				return fmt.Errorf("read snapshot: %w", noEOF(err))
			}
			if len(c.Keys) != len(c.Rows) {
				return fmt.Errorf("read snapshot: table %s: %d keys for %d rows", sec.Table, len(c.Keys), len(c.Rows))
			}
			if len(c.Keys) == 0 {
				break
			}
			for i := range c.Keys {
				if err := row(Row{sec.Table, c.Keys[i], c.Rows[i]}); err != nil {
					return err
				}
			}
		}
	}
}
