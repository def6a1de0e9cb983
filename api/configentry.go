package api

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// ConfigEntry is a piece of configuration that holds for the whole datacenter, kept by kind and name.
type ConfigEntry interface {
	EntryKind() string
	EntryName() string
	Common() *EntryCommon // the fields that all kinds share, to read and to set
}

// EntryCommon is what every config entry has besides kind and name.
type EntryCommon struct {
	Meta        map[string]string `json:",omitempty"`
	Namespace   string            `json:",omitempty"`
	Partition   string            `json:",omitempty"`
	Hash        uint64            `json:",omitempty"` // of the content, set by the server
	CreateIndex uint64
	ModifyIndex uint64
}

// Common gives access to the fields that all kinds share.
func (c *EntryCommon) Common() *EntryCommon { return c }

// DecodeConfigEntry reads an entry from JSON with CamelCase or snake_case keys. An unknown kind, an unknown key or a value
// of a wrong type is an *Error with status 400 that names the path of the field.
func DecodeConfigEntry(data []byte) (ConfigEntry, error) {
	tree, err := parseJSON(data)
	if err != nil {
		return nil, err
	}
	fields, ok := tree.(map[string]any)
	if !ok {
		return nil, Errorf(http.StatusBadRequest, "want an object with a Kind, not %s", describe(tree))
	}
	kind, err := entryKind(fields)
	if err != nil {
		return nil, err
	}
	entry, err := NewConfigEntry(kind)
	if err != nil {
		return nil, err
	}
	if err := decodeTree(fields, entry); err != nil {
		return nil, err
	}
	return entry, nil
}

// UnmarshalConfigEntry reads an entry that a program wrote, such as a server's answer. Keys that it does not know are
// passed over, so that it understands a newer server.
func UnmarshalConfigEntry(data []byte) (ConfigEntry, error) {
	var head struct{ Kind string }
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("decode config entry: %w", err)
	}
	entry, err := NewConfigEntry(head.Kind)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, entry); err != nil {
		return nil, fmt.Errorf("decode %s config entry: %w", head.Kind, err)
	}
	return entry, nil
}

func entryKind(fields map[string]any) (string, error) {
	for key, v := range fields {
		if fold(key) != "kind" {
			continue
		}
		kind, ok := v.(string)
		if !ok {
			return "", Errorf(http.StatusBadRequest, "Kind: want a string, not %s", describe(v))
		}
		return kind, nil
	}
	return "", Errorf(http.StatusBadRequest, "Payload does not contain a kind/Kind key at the top level")
}
