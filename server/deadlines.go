package server

import (
	"container/heap"
	"time"
)

// deadlines keeps until when things of one kind may stay. To give one more time costs no more than a look into a map: the queue
// is put right when its turn comes.
type deadlines[K comparable] struct {
	until map[K]time.Time // the zero time: it has been taken, and is to end
	queue queue[K]
	swept int // the length of the queue after the last sweep
}

type deadline[K comparable] struct {
	key K
	at  time.Time // not after what until says
}

// set says until when a thing may stay.
func (d *deadlines[K]) set(key K, until time.Time) {
	if d.until == nil {
		d.until = map[K]time.Time{}
	}
	_, known := d.until[key]
	d.until[key] = until
	if !known {
		heap.Push(&d.queue, deadline[K]{key, until})
	}
}

// known tells whether the thing has a deadline, or has been taken.
func (d *deadlines[K]) known(key K) bool {
	_, ok := d.until[key]
	return ok
}

// taken tells whether the thing is to end.
func (d *deadlines[K]) taken(key K) bool {
	until, ok := d.until[key]
	return ok && until.IsZero()
}

// take returns, at most so many, things whose time is over. They are to end, until they are forgotten.
func (d *deadlines[K]) take(now time.Time, most int) (over []K) {
	for len(d.queue) > 0 && len(over) < most && !d.queue[0].at.After(now) {
		first := heap.Pop(&d.queue).(deadline[K])
		switch until, ok := d.until[first.key]; {
		case !ok || until.IsZero():
		case until.After(now):
			heap.Push(&d.queue, deadline[K]{first.key, until})
		default:
			d.until[first.key] = time.Time{}
			over = append(over, first.key)
		}
	}
	return over
}

// again gives things that were taken another deadline, for what could not be ended.
func (d *deadlines[K]) again(keys []K, until time.Time) {
	for _, key := range keys {
		heap.Push(&d.queue, deadline[K]{key, until})
		d.until[key] = until
	}
}

// forget ends with things that have ended.
func (d *deadlines[K]) forget(keys []K) {
	for _, key := range keys {
		delete(d.until, key)
	}
}

// next returns when to look again. It reports false when there is nothing to wait for.
func (d *deadlines[K]) next() (time.Time, bool) {
	if len(d.queue) == 0 {
		return time.Time{}, false
	}
	return d.queue[0].at, true
}

// minSweep is how many may be kept before any sweep.
const minSweep = 1024

// sweep forgets what has ended without its time being over, once there is enough kept for it to be worth the while.
func (d *deadlines[K]) sweep(there func(K) bool) {
	if len(d.queue) < 2*d.swept+minSweep {
		return
	}
	kept := d.queue[:0]
	for _, e := range d.queue {
		if d.taken(e.key) || there(e.key) {
			kept = append(kept, e)
		} else {
			delete(d.until, e.key)
		}
	}
	clear(d.queue[len(kept):])
	d.queue = kept
	heap.Init(&d.queue)
	d.swept = len(d.queue)
}

// queue implements heap.Interface: the earliest first.
type queue[K comparable] []deadline[K]

func (q queue[K]) Len() int           { return len(q) }
func (q queue[K]) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue[K]) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue[K]) Push(x any)        { *q = append(*q, x.(deadline[K])) }

func (q *queue[K]) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}
