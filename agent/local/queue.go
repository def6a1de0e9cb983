package local

import (
	"errors"
	"sync"
)

// request is a change that somebody waits for.
type request struct {
	do    func(d *draft) error
	err   error         // what has come of it
	over  bool          // it has been carried out, or refused
	ready chan struct{} // has an element when it is over, or else when its caller is to carry out what waits
}

// errUnfinished is what waits for a change that has panicked are told.
var errUnfinished = errors.New("another registration at the same time has failed unexpectedly; try again")

// queue gathers the changes that arrive while others are being written to disk, so that they are written together. Whoever finds
// nobody at work carries out everything that waits, in the order in which it came, and then calls the next one to do so.
type queue struct {
	mu      sync.Mutex
	waiting []*request
	working bool
}

// join returns when the request is over, which is true, or when its caller is to carry out what waits.
func (q *queue) join(r *request) (over bool) {
	q.mu.Lock()
	q.waiting = append(q.waiting, r)
	first := !q.working
	q.working = true
	q.mu.Unlock()
	if !first {
		<-r.ready
	}
	return r.over
}

// take hands over what waits to who is to carry it out.
func (q *queue) take() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch := q.waiting
	q.waiting = nil
	return batch
}

// done tells all of a batch that they are over, and calls the next one to work.
func (q *queue) done(batch []*request) {
	for _, r := range batch {
		r.over = true
		r.ready <- struct{}{}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.working = len(q.waiting) > 0
	if q.working {
		q.waiting[0].ready <- struct{}{}
	}
}

// change makes a change of what is registered here: what do puts into the draft is written to disk, then comes into force.
func (s *State) change(do func(d *draft) error) error {
	r := &request{do: do, err: errUnfinished, ready: make(chan struct{}, 1)}
	if s.queue.join(r) {
		return r.err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	batch := s.queue.take()
	defer s.queue.done(batch)
	s.carryOutAll(batch)
	return r.err
}

// carryOutAll makes changes of which each one builds upon those before it. One that is refused leaves nothing of itself; what the disk
// does not take fails all. It is called with changing held.
func (s *State) carryOutAll(batch []*request) {
	all := s.draft()
	var agreed []*request
	for _, r := range batch {
		d := s.draft()
		d.under = all
		if err := s.prepare(d, r.do); err != nil {
			r.err = err
			continue
		}
		all.add(d)
		agreed = append(agreed, r)
	}
	if len(agreed) == 0 {
		return
	}
	err := all.write()
	if err == nil {
		all.commit()
	}
	for _, r := range agreed {
		r.err = err
	}
}

// prepare fills in a draft and what of it is to be written.
func (s *State) prepare(d *draft, do func(d *draft) error) error {
	if s.closed {
		return errClosed
	}
	if err := do(d); err != nil {
		return err
	}
	return d.encode()
}

// changeAlone makes a change that nothing else is put together with.
func (s *State) changeAlone(do func(d *draft) error) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	return s.changeLocked(do)
}

// changeLocked is the same, called with changing held.
func (s *State) changeLocked(do func(d *draft) error) error {
	d := s.draft()
	if err := s.prepare(d, do); err != nil {
		return err
	}
	if err := d.write(); err != nil {
		return err
	}
	d.commit()
	return nil
}
