package api

import (
	"math"
	"time"
)

// CoordinateSize is how many dimensions a coordinate has.
const CoordinateSize = 8

// CoordinateEntry is a node's place in the network.
type CoordinateEntry struct {
	Node      string
	Segment   string
	Partition string `json:",omitempty"`
	Coord     *Coordinate
}

// CoordinateDatacenter is where a datacenter's servers are.
type CoordinateDatacenter struct {
	Datacenter  string
	AreaID      string
	Coordinates []CoordinateEntry
}

// Valid tells whether the coordinate is one that distances can be computed from.
func (c *Coordinate) Valid() bool {
	if c == nil || len(c.Vec) != CoordinateSize {
		return false
	}
	sum := c.Error + c.Adjustment + c.Height
	for _, x := range c.Vec {
		sum += x * x
	}
	return !math.IsNaN(sum) && !math.IsInf(sum, 0)
}

// Distance estimates the round trip between two places. It reports false when one of them is none.
func (c *Coordinate) Distance(to *Coordinate) (time.Duration, bool) {
	if !c.Valid() || !to.Valid() {
		return 0, false
	}
	sum := 0.0
	for i := range c.Vec {
		d := c.Vec[i] - to.Vec[i]
		sum += d * d
	}
	seconds := math.Sqrt(sum) + c.Height + to.Height
	// The adjustments correct the estimate, but never to nothing.
	if adjusted := seconds + c.Adjustment + to.Adjustment; adjusted > 0 {
		seconds = adjusted
	}
	if seconds >= math.MaxInt64/float64(time.Second) || math.IsNaN(seconds) {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}
