package job

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

// MaxCallbackTime is how long a receiver may take for one attempt, extended or not.
const MaxCallbackTime = 24 * time.Hour

// ErrCallbackToken: no push worker has given this token, or it has expired.
var ErrCallbackToken = errors.New("no push worker has given this token, or it has expired")

// Callback is a receiver's right to say, after it has answered, what became of an
// attempt. It is written as a token, which is a secret: whoever has it may end the
// attempt, and nothing else. A token is base64url, without padding, of
//
//	version, 1 byte ‖ job, dispatch, 8 bytes each ‖ attempt_count, 4 ‖ Unix seconds of its end, 8 ‖ queue ‖ mac, 16
//
// where mac is HMAC-SHA256 under a seal key, cut to 128 bits, over "rookery callback",
// 0x00 and what stands before it. Every server knows the seal keys, so each can tell
// the tokens of all; what is signed begins otherwise than an envelope and a lease, so
// none passes for another.
type Callback struct {
	QueueName    string
	Ref          Ref // the fence: with the attempt the token is worth nothing
	AttemptCount int32
	ExpiresAt    time.Time // whole seconds
}

const (
	callbackVersion = 1
	callbackPurpose = "rookery callback\x00"
	callbackHead    = 1 + 8 + 8 + 4 + 8
	callbackMAC     = 16
	maxCallback     = callbackHead + 100 + callbackMAC // bytes of a token, before base64url
)

// Token writes c for its receiver. Keys are those of [SealKey]; the error says that none
// signs.
func (c Callback) Token(keys []SealKey) (string, error) {
	for _, key := range keys {
		if key.Signs {
			b := c.claims()
			return base64.RawURLEncoding.EncodeToString(append(b, callbackSum(key, b)...)), nil
		}
	}
	return "", errors.New("no seal key signs")
}

func (c Callback) claims() []byte {
	b := make([]byte, 0, maxCallback)
	b = append(b, callbackVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Ref.ID))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Ref.DispatchID))
	b = binary.BigEndian.AppendUint32(b, uint32(c.AttemptCount))
	b = binary.BigEndian.AppendUint64(b, uint64(c.ExpiresAt.Unix()))
	return append(b, c.QueueName...)
}

// IsCallbackToken reports whether a token is written like those of [Callback.Token]:
// whether it is one, [OpenCallback] says.
func IsCallbackToken(token string) bool {
	_, ok := callbackBytes(token)
	return ok
}

func callbackBytes(token string) (b []byte, ok bool) {
	if len(token) > base64.RawURLEncoding.EncodedLen(maxCallback) {
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	return b, err == nil && len(b) >= callbackHead+1+callbackMAC && b[0] == callbackVersion
}

// OpenCallback reads what [Callback.Token] has written. The error is [ErrCallbackToken].
func OpenCallback(keys []SealKey, token string, now time.Time) (Callback, error) {
	b, ok := callbackBytes(token)
	if !ok {
		return Callback{}, ErrCallbackToken
	}
	claims, mac := b[:len(b)-callbackMAC], b[len(b)-callbackMAC:]
	known := 0
	for _, key := range keys {
		known |= subtle.ConstantTimeCompare(mac, callbackSum(key, claims))
	}
	if known != 1 {
		return Callback{}, ErrCallbackToken
	}
	c := Callback{
		QueueName:    string(claims[callbackHead:]),
		Ref:          Ref{ID: int64(binary.BigEndian.Uint64(b[1:])), DispatchID: int64(binary.BigEndian.Uint64(b[9:]))},
		AttemptCount: int32(binary.BigEndian.Uint32(b[17:])),
		ExpiresAt:    time.Unix(int64(binary.BigEndian.Uint64(b[21:])), 0),
	}
	if !now.Before(c.ExpiresAt) {
		return Callback{}, ErrCallbackToken
	}
	return c, nil
}

func callbackSum(key SealKey, claims []byte) []byte {
	mac := hmac.New(sha256.New, key.Secret)
	mac.Write([]byte(callbackPurpose)) // a hash's Write never fails
	mac.Write(claims)
	return mac.Sum(nil)[:callbackMAC]
}

// OpenAttempt is an attempt whose receiver has answered that it will call back.
type OpenAttempt struct {
	Ref          Ref   // the fence that its token has
	HeldAs       int64 // the dispatch_id that it has now: another once it is held in Postgres
	AttemptCount int32
}

// OpenState is what Postgres says of an [OpenAttempt].
type OpenState struct {
	Ref      Ref           // as it was asked for
	Open     bool          // the attempt is current
	Ended    Status        // what its outcome made of the job, queued for a failure; "": it has none
	Extended bool          // the receiver has asked for more time
	Left     time.Duration // of that; negative: it is over
}
