package state

import "maps"

// Try calls change. If that reports false, all that it has written is taken back, and the transaction is as it was before.
func (tx *Tx) Try(change func() bool) bool {
	wrote, touched := tx.wrote, maps.Clone(tx.touched)
	tx.trying = true
	ok := change()
	tx.trying = false
	if !ok {
		for i := len(tx.undo) - 1; i >= 0; i-- {
			tx.undo[i]()
		}
		tx.wrote, tx.touched = wrote, touched
	}
	tx.undo = nil
	return ok
}
