package gossip

import (
	"github.com/hashicorp/serf/serf"
)

// broadcastName is the name under which serf carries what is told to all agents. It is one for all, since serf counts by it.
const broadcastName = "p"

// broadcastLimit bounds what is told to all agents in bytes, so that it fits a packet beside news of members.
const broadcastLimit = 1024

// heardQueue is how many messages wait for whoever hears them.
const heardQueue = 1024

// Broadcast tells all agents of the pool, this one too, some bytes: their Options.Heard is called with them. It returns
// before they have heard.
func (p *Pool) Broadcast(data []byte) error {
	done, err := p.call()
	if err != nil {
		return err
	}
	defer done()
	return p.serf.UserEvent(broadcastName, data, false)
}

// hear hands on what is told to all agents. It does not wait: serf holds its lock meanwhile.
func (p *Pool) hear(e serf.UserEvent) {
	if p.opts.Heard == nil || e.Name != broadcastName {
		return
	}
	select {
	case p.heard <- e:
	default:
		p.log.Warn("too much is told to all agents at a time, something has been left out", "waiting", heardQueue)
	}
}

// listen calls Options.Heard.
func (p *Pool) listen() {
	for {
		select {
		case e := <-p.heard:
			p.opts.Heard(uint64(e.LTime), e.Payload)
		case <-p.stop:
			return
		}
	}
}
