package gossip

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

func b64(key []byte) string { return base64.StdEncoding.EncodeToString(key) }

// vault is where an agent keeps its keys.
type vault struct {
	mu   sync.Mutex // guards what follows
	keys [][]byte
	full bool
}

func (v *vault) fill(full bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.full = full
}

func (v *vault) save(keys [][]byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.full {
		return errors.New("no space left")
	}
	v.keys = keys
	return nil
}

func (v *vault) has(keys ...[]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return bytes.Equal(bytes.Join(v.keys, nil), bytes.Join(keys, nil))
}

func TestKeysAreChangedWhileAllRun(t *testing.T) {
	inLab(t, func(l *lab) {
		first, second := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 16)
		vaults := map[string]*vault{"a": {}, "b": {}, "c": {}}
		with := func(name string, keys ...[]byte) *Pool {
			return l.start(name, func(o *Options) { o.EncryptKeys, o.SaveKeys = keys, vaults[name].save })
		}
		a, b, c := with("a", first), with("b", first), with("c", first)
		l.join(b, "a")
		l.join(c, "a")
		for _, p := range []*Pool{a, b, c} {
			l.until(p, 5*time.Second, "three are alive", func() bool { return count(p, api.MemberAlive) == 3 })
		}
		for name, v := range vaults {
			if !v.has(first) {
				t.Errorf("%s keeps others", name)
			}
		}

		if _, err := b.UseKey(b64(second), 0); err == nil || !strings.Contains(err.Error(), "0 of 3 members know this key") {
			t.Errorf("a key that nobody knows: %v", err)
		}
		vaults["c"].fill(true)
		if _, err := b.InstallKey(b64(second), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * recheck)
		if !vaults["a"].has(first, second) || !vaults["b"].has(first, second) || !vaults["c"].has(first) {
			t.Error("after the installation others are kept")
		}
		vaults["c"].fill(false)
		time.Sleep(2 * recheck)
		if !vaults["c"].has(first, second) {
			t.Error("a key that could not be kept was not kept later")
		}
		if n := strings.Count(l.log.String(), "the keys of gossip are not kept"); n != 1 {
			t.Errorf("said %d times that they are not kept", n)
		}

		// One is restarted between the steps, with what it kept.
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		l.until(a, time.Minute, "c has failed", func() bool { return count(a, api.MemberAlive) == 2 })
		c = with("c", vaults["c"].keys...)
		l.join(c, "a")
		l.until(a, 5*time.Second, "c is back", func() bool { return count(a, api.MemberAlive) == 3 })

		if r, err := a.UseKey(b64(second), 1); err != nil || r.NumNodes != 3 {
			t.Fatalf("%+v, %v", r, err)
		}
		if _, err := a.RemoveKey(b64(second), 0); err == nil || !strings.Contains(err.Error(), "a: ") || !strings.Contains(err.Error(), "primary key") {
			t.Errorf("the key in use: %v", err)
		}
		if _, err := a.RemoveKey(b64(first), 0); err != nil {
			t.Fatal(err)
		}
		r, err := c.Keys(0)
		if err != nil || r.Datacenter != "dc1" || len(r.Keys) != 1 || r.Keys[b64(second)] != 3 || r.PrimaryKeys[b64(second)] != 3 {
			t.Errorf("%+v, %v", r, err)
		}
		time.Sleep(time.Minute)
		for name, v := range vaults {
			if !v.has(second) {
				t.Errorf("%s keeps others", name)
			}
		}
		if count(a, api.MemberAlive) != 3 || count(c, api.MemberAlive) != 3 {
			t.Error("they have lost one another")
		}
		if log := l.log.String(); strings.Contains(log, b64(first)) || strings.Contains(log, b64(second)) {
			t.Error("the log shows a key")
		}
	})
}

func TestKeysOfAPoolInTheClear(t *testing.T) {
	inLab(t, func(l *lab) {
		p := l.start("a")
		if _, err := p.Keys(0); api.StatusOf(err) != 500 || !strings.Contains(err.Error(), "a: Keyring is empty (encryption not enabled)") {
			t.Errorf("%v", err)
		}
	})
}

func TestBadKeys(t *testing.T) {
	inLab(t, func(l *lab) {
		p := l.start("a", func(o *Options) { o.EncryptKeys = [][]byte{make([]byte, 32)} })
		for key, want := range map[string]string{"x": "illegal base64 data at input byte 0", "": "has 0 bytes", b64([]byte("secret")): "has 6 bytes"} {
			for _, do := range []func(string, uint8) (api.KeyringResponse, error){p.InstallKey, p.UseKey, p.RemoveKey} {
				if _, err := do(key, 0); api.StatusOf(err) != 500 || !strings.Contains(err.Error(), want) {
					t.Errorf("%q: %v", key, err)
				}
			}
		}
	})
}
