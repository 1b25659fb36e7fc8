package job

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"sync"
)

// A seal says that an envelope was written by somebody who can read the seal keys
// in Postgres, for the window it lies in: what a hand has put into Redis has none.
// It is the last two members of an envelope,
//
//	…,"payload":{…},"key":<id>,"mac":"<22 characters>"}
//
// where mac is HMAC-SHA256 (RFC 2104) under the key of that id, cut to its first
// 128 bits and written in base64url (RFC 4648) without padding, over
//
//	"rookery envelope" 0x00 ‖ epoch, 8 bytes, big endian ‖ the envelope up to ,"mac"
//
// The epoch stands in no envelope: a copy kept from an ended epoch opens in no
// other. Nothing may depend on two seals of one job being equal: the batch of a
// relay that died is pushed by another, perhaps with another key.

// SealSize is at most how many bytes a seal adds to an envelope.
const SealSize = len(sealKeyMember) + 10 + macTail

const (
	sealKeyMember = `,"key":`
	sealMacMember = `,"mac":"`
	macSize       = 16 // bytes of the HMAC that are kept
	macText       = 22 // characters they are written in
	macTail       = len(sealMacMember) + macText + len(`"}`)
	secretSize    = 32
	sealPurpose   = "rookery envelope\x00"
)

var (
	// ErrForged: nobody who has a seal key wrote this envelope for this window.
	ErrForged = errors.New("envelope is not sealed by a relay")
	// ErrSealKey: an envelope names a seal key that is not among those known here.
	// It may be newer than they are; once they are known to be new, it is forged.
	ErrSealKey = errors.New("envelope names an unknown seal key")
)

// SealKey is a secret that seals envelopes. It is printed without the secret.
type SealKey struct {
	ID     int32  // positive
	Secret []byte // 32 bytes; never logged, never in Redis
	Signs  bool   // new envelopes are sealed with it; exactly one of a set does
}

// String returns the key's name.
func (k SealKey) String() string { return "seal key " + strconv.Itoa(int(k.ID)) }

// GoString is String: %#v shows no secret either.
func (k SealKey) GoString() string { return k.String() }

// Seals is a set of seal keys: it seals envelopes with one and opens those of all.
// It never changes, and is safe for concurrent use.
type Seals struct {
	keys  map[int32]*sealer
	signs *sealer
}

// sealer is one key at work.
type sealer struct {
	id   int32
	pool sync.Pool // of *sealing: an HMAC allocates, and is wanted for every job
}

// sealing is what one computation needs.
type sealing struct {
	mac  hash.Hash
	head [len(sealPurpose) + 8]byte
	sum  [sha256.Size]byte
	text [macText]byte
}

// NewSeals makes a set of keys. The error is about a key without an id or with a
// secret of another length than 32 bytes, about two of one id, or about a set in
// which not exactly one key signs. It shows no secret.
func NewSeals(keys []SealKey) (*Seals, error) {
	s := &Seals{keys: make(map[int32]*sealer, len(keys))}
	for _, k := range keys {
		switch {
		case k.ID <= 0:
			return nil, fmt.Errorf("%s: its id must be positive", k)
		case len(k.Secret) != secretSize:
			return nil, fmt.Errorf("%s: its secret has %d bytes, must have %d", k, len(k.Secret), secretSize)
		case s.keys[k.ID] != nil:
			return nil, fmt.Errorf("%s: there are two of it", k)
		case k.Signs && s.signs != nil:
			return nil, fmt.Errorf("%s: seal key %d signs already", k, s.signs.id)
		}
		s.keys[k.ID] = newSealer(k)
		if k.Signs {
			s.signs = s.keys[k.ID]
		}
	}
	if s.signs == nil {
		return nil, errors.New("none of the seal keys signs")
	}
	return s, nil
}

func newSealer(k SealKey) *sealer {
	s, secret := &sealer{id: k.ID}, bytes.Clone(k.Secret)
	s.pool.New = func() any {
		w := &sealing{mac: hmac.New(sha256.New, secret)}
		copy(w.head[:], sealPurpose)
		return w
	}
	return s
}

// compute returns the text of the mac over what stands before it, in w.
func (w *sealing) compute(epoch int64, body []byte) []byte {
	binary.BigEndian.PutUint64(w.head[len(sealPurpose):], uint64(epoch))
	w.mac.Reset()
	w.mac.Write(w.head[:]) // a hash's Write never fails
	w.mac.Write(body)
	sum := w.mac.Sum(w.sum[:0])
	base64.RawURLEncoding.Encode(w.text[:], sum[:macSize])
	return w.text[:]
}

// Append appends the envelope's JSON to b, sealed for its queue's window in epoch.
// Errors are those of [Envelope.Append].
func (s *Seals) Append(b []byte, e *Envelope, epoch int64) ([]byte, error) {
	start := len(b)
	b, err := e.Append(b)
	if err != nil {
		return nil, err
	}
	b = append(b[:len(b)-1], sealKeyMember...) // the closing brace goes
	b = strconv.AppendInt(b, int64(s.signs.id), 10)
	w := s.signs.pool.Get().(*sealing)
	text := w.compute(epoch, b[start:])
	b = append(append(append(b, sealMacMember...), text...), `"}`...)
	s.signs.pool.Put(w)
	return b, nil
}

// Open reads a sealed envelope from the window of queue in epoch. It takes data
// over: the envelope aliases it, and bytes behind the payload are overwritten.
//
// Errors: [ErrForged] (no seal, a wrong one, or that of another window),
// [ErrSealKey], and [ErrEnvelope] for one that a relay has sealed and this program
// cannot read.
func (s *Seals) Open(data []byte, queue string, epoch int64) (Envelope, error) {
	id, end, ok := keyOf(data)
	if !ok {
		return Envelope{}, ErrForged
	}
	key := s.keys[id]
	if key == nil {
		return Envelope{}, ErrSealKey
	}
	body := data[:len(data)-macTail]
	w := key.pool.Get().(*sealing)
	text := w.compute(epoch, body)
	equal := subtle.ConstantTimeCompare(text, data[len(body)+len(sealMacMember):len(data)-2]) == 1
	key.pool.Put(w)
	if !equal {
		return Envelope{}, ErrForged
	}
	// Without its seal the envelope has the layout that Decode is quick with.
	data[end] = '}'
	e, err := Decode(data[:end+1])
	if err == nil && e.QueueName != queue {
		return Envelope{}, ErrForged // carried over by hand from a queue of the same epoch
	}
	return e, err
}

// keyOf finds the seal at the end of an envelope: the id of its key, and where
// the envelope ended before it was sealed. It reads backwards from a fixed
// distance: nothing in a payload can look like a seal to it.
func keyOf(data []byte) (id int32, end int, ok bool) {
	at := len(data) - macTail
	if at < 0 || !bytes.HasPrefix(data[at:], []byte(sealMacMember)) || !bytes.HasSuffix(data, []byte(`"}`)) {
		return 0, 0, false
	}
	first := at
	for first > 0 && data[first-1] >= '0' && data[first-1] <= '9' {
		first--
	}
	n, err := strconv.ParseInt(string(data[first:at]), 10, 32)
	if err != nil || !bytes.HasSuffix(data[:first], []byte(sealKeyMember)) {
		return 0, 0, false
	}
	return int32(n), first - len(sealKeyMember), true
}
