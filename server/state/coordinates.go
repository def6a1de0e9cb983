package state

import (
	"iter"
	"slices"

	"github.com/parleymesh/parley/api"
)

// Place is the row of where a node is in the network.
type Place struct {
	Entry       api.CoordinateEntry
	ModifyIndex uint64
}

var places = &table[Place]{
	name: "coordinates", version: 1,
	key: func(tx *Tx, p *Place) string { return tx.key(fold(p.Entry.Node), p.Entry.Segment) },
}

// The topics of coordinates.
const (
	topicPlaces Kind = "coordinates" // all
	topicPlace  Kind = "coordinate"  // one node's
)

// Places yields where all nodes are, by name.
func Places(tx *Tx) iter.Seq[*Place] {
	tx.saw(topicPlaces, "")
	return places.list(tx, tx.key())
}

// NodePlaces yields where a node is, in each of its segments.
func NodePlaces(tx *Tx, node string) iter.Seq[*Place] {
	tx.saw(topicPlace, fold(node))
	return places.list(tx, tx.key(fold(node)))
}

// Coordinate returns where a node is, or nil. Who sorts by distance asks for many, and reads all.
func Coordinate(tx *Tx, node string) *api.Coordinate {
	tx.saw(topicPlaces, "")
	if p := places.get(tx, tx.key(fold(node), "")); p != nil {
		return p.Entry.Coord
	}
	return nil
}

// PutCoordinate writes where a node is. A node that the catalog does not have is nowhere.
func PutCoordinate(tx *Tx, e api.CoordinateEntry) {
	n := PeekNode(tx, e.Node)
	if n == nil {
		return
	}
	e.Node = n.Node
	if old := places.get(tx, tx.key(fold(e.Node), e.Segment)); old != nil && sameCoordinate(old.Entry.Coord, e.Coord) {
		return
	}
	places.put(tx, &Place{Entry: e, ModifyIndex: tx.index})
	placeChanged(tx, e.Node)
}

func sameCoordinate(a, b *api.Coordinate) bool {
	return slices.Equal(a.Vec, b.Vec) && a.Error == b.Error && a.Adjustment == b.Adjustment && a.Height == b.Height
}

// deletePlaces removes where a node is.
func deletePlaces(tx *Tx, node string) {
	for _, p := range collect(places.list(tx, tx.key(fold(node)))) {
		places.remove(tx, tx.key(fold(p.Entry.Node), p.Entry.Segment))
		placeChanged(tx, p.Entry.Node)
	}
}

func placeChanged(tx *Tx, node string) {
	tx.touch(topicPlaces, "")
	tx.touch(topicPlace, fold(node))
}
