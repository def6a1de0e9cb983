package dns

import (
	"encoding/binary"
	"sync"
)

// maxHot bounds the packed answers. The names behind them exist, but one may be asked for in many ways.
const maxHot = 8192

// hot keeps packed answers by question.
type hot struct {
	mu sync.RWMutex
	m  map[string]*hotAnswer
}

// hotAnswer is an answer and what it was made from. It holds while that is current.
type hotAnswer struct {
	packed *packed
	cfg    *Config
	from   []from
}

// appendKey appends what tells questions apart: the name, whatever its case, and the type.
func appendKey(dst []byte, q *question) []byte {
	return binary.BigEndian.AppendUint16(appendFolded(dst, q.name), q.qtype)
}

func (h *hot) get(key []byte) *hotAnswer {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.m[string(key)]
}

// put keeps an answer that a view will show to be out of date; others are not kept.
func (h *hot) put(key []byte, a *hotAnswer) {
	if len(a.from) == 0 {
		return
	}
	for _, f := range a.from {
		if f.view == nil {
			return
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.m == nil {
		h.m = map[string]*hotAnswer{}
	}
	for old := range h.m {
		if len(h.m) < maxHot {
			break
		}
		delete(h.m, old)
	}
	h.m[string(key)] = a
}
