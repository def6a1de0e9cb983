package command

import (
	"encoding/json"
	"errors"
	"io"
)

// showJSON prints a value for people and programs.
func showJSON(w io.Writer, v any, indent string) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", indent)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// readJSON reads exactly one value.
func readJSON(r io.Reader, to any) error {
	dec := json.NewDecoder(r)
	if err := dec.Decode(to); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the end of the JSON value")
	}
	return nil
}
