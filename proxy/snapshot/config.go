package snapshot

import (
	"math"
	"strconv"
	"time"
)

// Config is registered configuration: the free-form settings of a proxy or of an upstream. Its numbers are what JSON, HCL and
// msgpack make of them, or strings that hold one, since people write both.
type Config map[string]any

// String returns a setting that is text, or nothing.
func (c Config) String(key string) string {
	text, _ := c[key].(string)
	return text
}

// Number returns a setting that is a number of at least 0, and whether it is there.
func (c Config) Number(key string) (n uint64, ok bool) {
	switch v := c[key].(type) {
	case float64:
		return uint64(min(v, math.MaxInt64)), v >= 0
	case int:
		return uint64(v), v >= 0
	case int64:
		return uint64(v), v >= 0
	case uint32:
		return uint64(v), true
	case uint64:
		return v, true
	case string:
		n, err := strconv.ParseUint(v, 10, 63)
		return n, err == nil
	}
	return 0, false
}

// Uint32 is Number for what Envoy keeps in 32 bits; more than fits is the most that does.
func (c Config) Uint32(key string) (n uint32, ok bool) {
	wide, ok := c.Number(key)
	return uint32(min(wide, math.MaxUint32)), ok
}

// Milliseconds returns a setting that is a number of milliseconds, and whether it is there.
func (c Config) Milliseconds(key string) (time.Duration, bool) {
	n, ok := c.Number(key)
	return time.Duration(min(n, math.MaxInt64/uint64(time.Millisecond))) * time.Millisecond, ok
}

// Duration returns a setting that is text such as "10s" or a number of nanoseconds, and whether it is there.
func (c Config) Duration(key string) (time.Duration, bool) {
	if text, ok := c[key].(string); ok {
		d, err := time.ParseDuration(text)
		return d, err == nil && d >= 0
	}
	n, ok := c.Number(key)
	return time.Duration(min(n, math.MaxInt64)), ok
}

// Section returns a setting that holds others; one that is not there is empty.
func (c Config) Section(key string) Config {
	switch v := c[key].(type) {
	case map[string]any:
		return v
	case Config:
		return v
	case []map[string]any: // as HCL gives a block
		if len(v) == 1 {
			return v[0]
		}
	case []any:
		if len(v) == 1 {
			return Config{key: v[0]}.Section(key)
		}
	}
	return nil
}
