package state

import "fmt"

// RememberedResults is how many of the last commands a repetition is recognised among. A client that retries does so
// within seconds; at ten thousand writes a second this is one and a half.
const RememberedResults = 16384

// Remembered is the first result of a command, by the id of its envelope.
type Remembered struct {
	ID      string
	Index   uint64
	Seq     uint64 // counts the commands, to forget the oldest
	Raw     []byte
	Status  int    // of a refusal
	Refusal string // its message
}

var results = &table[Remembered]{
	name: "results", version: 1,
	key: func(_ *Tx, r *Remembered) string { return r.ID },
	by1: func(_ *Tx, r *Remembered) string { return seqKey(r.Seq) },
}

func seqKey(seq uint64) string { return fmt.Sprintf("%016x", seq) }

// Result returns what a command with the id has been answered, or nil.
func Result(tx *Tx, id string) *Remembered { return results.get(tx, id) }

// Remember keeps the result of a command and forgets the oldest beyond RememberedResults.
func Remember(tx *Tx, r Remembered) {
	r.Seq = 1
	if last, err := tx.mem.Last(results.name, indexBy1+"_prefix", ""); err == nil && last != nil {
		r.Seq = last.(*row).value.(*Remembered).Seq + 1
	}
	results.put(tx, &r)
	if r.Seq <= RememberedResults {
		return
	}
	for old := range results.listBy1(tx, seqKey(r.Seq-RememberedResults)) {
		results.remove(tx, old.ID)
		return
	}
}
