package state

import (
	"fmt"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/parleymesh/parley/server/codec"
)

// row is what stands in every table: a value under its key, and at most two secondary keys. Values are never changed
// after they are put: a change puts a new one.
type row struct {
	key   string
	by    [2]string
	value any
}

// table describes the rows of one type. The zero-byte-ended key of rows is made by Tx.key; a compound key's prefix
// serves as an index of its first parts, so few tables need secondary keys.
type table[T any] struct {
	name    string
	version uint8 // of the encoding of a row in snapshots
	by1     func(*Tx, *T) string
	by2     func(*Tx, *T) string
	key     func(*Tx, *T) string
	// encode and decode are set for a type that is not encoded as it stands.
	encode func(*T) ([]byte, error)
	decode func([]byte) (*T, error)
}

const (
	indexID  = "id" // memdb wants this name for the primary key
	indexBy1 = "by1"
	indexBy2 = "by2"
)

func rowSchema(name string) *memdb.TableSchema {
	return &memdb.TableSchema{Name: name, Indexes: map[string]*memdb.IndexSchema{
		indexID:  {Name: indexID, Unique: true, Indexer: rowIndexer(-1)},
		indexBy1: {Name: indexBy1, AllowMissing: true, Indexer: rowIndexer(0)},
		indexBy2: {Name: indexBy2, AllowMissing: true, Indexer: rowIndexer(1)},
	}}
}

// rowIndexer reads the primary key (-1) or a secondary key of a row.
type rowIndexer int

// FromObject implements memdb.SingleIndexer.
func (i rowIndexer) FromObject(raw any) (bool, []byte, error) {
	r := raw.(*row)
	if i < 0 {
		return true, []byte(r.key), nil
	}
	k := r.by[i]
	return k != "", []byte(k), nil
}

// FromArgs implements memdb.Indexer.
func (rowIndexer) FromArgs(args ...any) ([]byte, error) {
	k, ok := args[0].(string)
	if !ok || len(args) != 1 {
		return nil, fmt.Errorf("a row is looked up by one key, not %v", args)
	}
	return []byte(k), nil
}

// PrefixFromArgs implements memdb.PrefixIndexer.
func (i rowIndexer) PrefixFromArgs(args ...any) ([]byte, error) { return i.FromArgs(args...) }

func (t *table[T]) tableName() string { return t.name }

// get returns the row of the key, or nil.
func (t *table[T]) get(tx *Tx, key string) *T {
	raw, err := tx.mem.First(t.name, indexID, key)
	must(err)
	if raw == nil {
		return nil
	}
	return raw.(*row).value.(*T)
}

// list yields the rows whose key begins with prefix, in the order of their keys.
func (t *table[T]) list(tx *Tx, prefix string) iter.Seq[*T] { return t.scan(tx, indexID, prefix) }

// listBy1 yields the rows whose first secondary key begins with prefix.
func (t *table[T]) listBy1(tx *Tx, prefix string) iter.Seq[*T] { return t.scan(tx, indexBy1, prefix) }

// listBy2 yields the rows whose second secondary key begins with prefix.
func (t *table[T]) listBy2(tx *Tx, prefix string) iter.Seq[*T] { return t.scan(tx, indexBy2, prefix) }

// fromBy2 yields the rows whose second secondary key is not below lower, in the order of that key, whatever their tenant.
func (t *table[T]) fromBy2(tx *Tx, lower string) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		it, err := tx.mem.LowerBound(t.name, indexBy2, lower)
		must(err)
		for raw := it.Next(); raw != nil; raw = it.Next() {
			if !yield(raw.(*row).value.(*T)) {
				return
			}
		}
	}
}

func (t *table[T]) scan(tx *Tx, index, prefix string) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		it, err := tx.mem.Get(t.name, index+"_prefix", prefix)
		must(err)
		for raw := it.Next(); raw != nil; raw = it.Next() {
			if !yield(raw.(*row).value.(*T)) {
				return
			}
		}
	}
}

// last returns the row whose key is the last of those that begin with prefix, or nil.
func (t *table[T]) last(tx *Tx, prefix string) *T {
	raw, err := tx.mem.Last(t.name, indexID+"_prefix", prefix)
	must(err)
	if raw == nil {
		return nil
	}
	return raw.(*row).value.(*T)
}

// put writes the row, over one with the same key.
func (t *table[T]) put(tx *Tx, v *T) {
	r := &row{key: t.key(tx, v), value: v}
	if t.by1 != nil {
		r.by[0] = t.by1(tx, v)
	}
	if t.by2 != nil {
		r.by[1] = t.by2(tx, v)
	}
	t.remember(tx, r.key)
	must(tx.mem.Insert(t.name, r))
	tx.wrote = true
}

// remove deletes the row of the key.
func (t *table[T]) remove(tx *Tx, key string) {
	t.remember(tx, key)
	err := tx.mem.Delete(t.name, &row{key: key})
	if err == memdb.ErrNotFound {
		return
	}
	must(err)
	tx.wrote = true
}

// remember notes how to take back a change of the row of the key, if it may have to be.
func (t *table[T]) remember(tx *Tx, key string) {
	if !tx.trying {
		return
	}
	old, err := tx.mem.First(t.name, indexID, key)
	must(err)
	tx.undo = append(tx.undo, func() {
		if old != nil {
			must(tx.mem.Insert(t.name, old))
		} else if err := tx.mem.Delete(t.name, &row{key: key}); err != memdb.ErrNotFound {
			must(err)
		}
	})
}

// must stops on an error of memdb's, which arises only from a table or index that the schema lacks.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("state: %v", err))
	}
}

// anyTable is a table without its type, for those who treat all alike: the schema and snapshots.
type anyTable interface {
	tableName() string
	rowVersion() uint8
	dump(tx *Tx, row func(key string, data []byte) error) error
	load(tx *Tx, key string, version uint8, data []byte) error
	value(data []byte) (any, error)
}

func (t *table[T]) rowVersion() uint8 { return t.version }

// dump calls row for each row, encoded.
func (t *table[T]) dump(tx *Tx, emit func(string, []byte) error) error {
	it, err := tx.mem.Get(t.name, indexID+"_prefix", "")
	must(err)
	for raw := it.Next(); raw != nil; raw = it.Next() {
		r := raw.(*row)
		data, err := t.marshal(r.value.(*T))
		if err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
		if err := emit(r.key, data); err != nil {
			return err
		}
	}
	return nil
}

// load puts an encoded row back under its key.
func (t *table[T]) load(tx *Tx, key string, version uint8, data []byte) error {
	if version != t.version {
		return fmt.Errorf("table %s: rows of version %d, this release reads %d", t.name, version, t.version)
	}
	v, err := t.unmarshal(data)
	if err != nil {
		return fmt.Errorf("table %s: %w", t.name, err)
	}
	tx.tenant = tenantOf(key) // a key that holds no tenant does not ask for one
	if got := t.key(tx, v); got != key {
		return fmt.Errorf("table %s: row %q stands under the key %q", t.name, got, key)
	}
	t.put(tx, v)
	return nil
}

// value decodes a row for those who only show it.
func (t *table[T]) value(data []byte) (any, error) { return t.unmarshal(data) }

func (t *table[T]) marshal(v *T) ([]byte, error) {
	if t.encode != nil {
		return t.encode(v)
	}
	return codec.Encode(v)
}

func (t *table[T]) unmarshal(data []byte) (*T, error) {
	if t.decode != nil {
		return t.decode(data)
	}
	v := new(T)
	return v, codec.Decode(data, v)
}
