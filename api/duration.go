package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Duration is a time.Duration that is a string ("10s") in JSON, and is read from a string or from a number of
// nanoseconds.
type Duration time.Duration

// String returns the duration as time.Duration prints it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes the duration as a string.
func (d Duration) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, d.String()), nil
}

// UnmarshalJSON reads a string such as "1m30s", or a number of nanoseconds.
func (d *Duration) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return err
	}
	if v == nil {
		return nil
	}
	parsed, err := parseDuration(v)
	if err != nil {
		return err
	}
	*d = Duration(parsed)
	return nil
}

// parseDuration reads what JSON gives for a duration. An empty string is zero, as it is in definitions people write.
func parseDuration(v any) (time.Duration, error) {
	switch v := v.(type) {
	case string:
		if v == "" {
			return 0, nil
		}
		return time.ParseDuration(v)
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		if err == nil {
			return time.Duration(n), nil
		}
		// Some encoders write large whole numbers with an exponent.
		f, err := v.Float64()
		if err != nil || f != float64(int64(f)) {
			return 0, fmt.Errorf("want a duration such as \"10s\" or a whole number of nanoseconds, not %s", v)
		}
		return time.Duration(f), nil
	}
	return 0, fmt.Errorf("want a duration such as \"10s\" or a number of nanoseconds, not %s", describe(v))
}

// Nanoseconds is a time.Duration that is a number in JSON, where the public API has it so, and is read like Duration.
type Nanoseconds time.Duration

// UnmarshalJSON reads a number of nanoseconds, or a string such as "1m30s".
func (d *Nanoseconds) UnmarshalJSON(data []byte) error { return (*Duration)(d).UnmarshalJSON(data) }
