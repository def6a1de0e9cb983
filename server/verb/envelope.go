package verb

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/codec"
)

// EnvelopeVersion is the format of Envelope. A server refuses one that is newer.
const EnvelopeVersion = 1

// Envelope is a command or a query as it travels and, for a command, as it stands in the log.
type Envelope struct {
	Version    uint8
	ID         string // of this request; a repeated command is answered with its first result
	Datacenter string // empty: the one it arrives in
	Tenant     api.Tenant
	Token      string `json:",omitempty"` // never enters the log
	Type       string
	Payload    []byte
	// Forwarded is set by a server that hands the request to the leader. Who is not the leader then refuses instead
	// of forwarding it again.
	Forwarded bool `json:",omitempty"`
}

// Wrap puts a command or query into an envelope with a new id.
func Wrap(o Options, kind string, payload any) (Envelope, error) {
	data, err := codec.Encode(payload)
	if err != nil {
		return Envelope{}, fmt.Errorf("wrap %s: %w", kind, err)
	}
	return Envelope{
		Version: EnvelopeVersion, ID: uuid.NewString(), Datacenter: o.Datacenter, Tenant: o.Tenant, Token: o.Token,
		Type: kind, Payload: data,
	}, nil
}

// What a server answers when it cannot carry a request out. All are 500 to an HTTP client, as in the public API.
var (
	// ErrNoLeader: nothing was appended; the request may be repeated freely.
	ErrNoLeader = &api.Error{Status: http.StatusInternalServerError, Message: "No cluster leader"}
	// ErrNotLeader: the request was forwarded to a server that does not lead (any more); nothing was appended.
	ErrNotLeader = &api.Error{Status: http.StatusInternalServerError, Message: "not the leader"}
	// ErrUnknownOutcome: the command was appended, but leadership ended before it was known to be committed. It may
	// be repeated under the same id only.
	ErrUnknownOutcome = &api.Error{Status: http.StatusInternalServerError, Message: "leadership ended before the write was known to be committed"}
	// ErrNoPath: the datacenter is not known here.
	ErrNoPath = &api.Error{Status: http.StatusInternalServerError, Message: "No path to datacenter"}
	// ErrUnreachable: none of the datacenter's servers answers. Who waits for it to come back is better told so.
	ErrUnreachable = &api.Error{Status: http.StatusInternalServerError, Message: "the datacenter is unreachable"}
)

// Retriable reports whether the same envelope may be sent again after err. It may after an unknown outcome as well,
// because it carries its id.
func Retriable(err error) bool {
	return errors.Is(err, ErrNoLeader) || errors.Is(err, ErrNotLeader) || errors.Is(err, ErrUnknownOutcome)
}

// Unsure is what a refusal means to who has sent the same envelope before and not heard what came of it. A command that was carried
// out then is answered as it was the first time; but a server without room refuses before it looks.
func Unsure(err error) error {
	if api.StatusOf(err) != http.StatusInsufficientStorage {
		return err
	}
	return &api.Error{Status: http.StatusInsufficientStorage,
		Message: "it is not known whether the write was carried out, nobody has said so, and now it is refused: " + err.Error()}
}
