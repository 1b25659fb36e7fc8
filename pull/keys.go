package pull

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"

	"github.com/penguinmails/rookery/job"
)

// A lease's token is HMAC-SHA256 under a seal key, cut to 128 bits, over
//
//	"rookery lease" 0x00 ‖ the lease's id
//
// The id has the attempt's fence, 53 random bits that no other attempt has, so no two
// leases share a token. Every server knows the seal keys, so each can tell the tokens of
// all; what is signed begins otherwise than an envelope, so neither passes for the other.
const (
	tokenPurpose = "rookery lease\x00"
	tokenBytes   = 16
)

// keyring keeps the seal keys.
type keyring struct {
	read func(context.Context) ([]job.SealKey, error)
	kept job.Keyring
}

// get returns the keys. While Postgres is away the ones from before go on.
func (k *keyring) get(ctx context.Context) ([]job.SealKey, error) { return k.kept.Get(ctx, k.read) }

// sign returns the token of a lease.
func (k *keyring) sign(keys []job.SealKey, id string) (string, error) {
	for _, key := range keys {
		if key.Signs {
			return base64.RawURLEncoding.EncodeToString(token(key, id)), nil
		}
	}
	return "", errors.New("no seal key signs")
}

// opens reports whether one of the servers has given the token for that lease.
func (k *keyring) opens(ctx context.Context, l job.LeaseKey) (bool, error) {
	given, err := base64.RawURLEncoding.DecodeString(l.Token)
	if err != nil || len(given) != tokenBytes {
		return false, nil // no server wrote this
	}
	keys, err := k.get(ctx)
	if err != nil {
		return false, err
	}
	ok := 0
	for _, key := range keys {
		ok |= subtle.ConstantTimeCompare(given, token(key, l.ID))
	}
	return ok == 1, nil
}

func token(key job.SealKey, id string) []byte {
	mac := hmac.New(sha256.New, key.Secret)
	mac.Write([]byte(tokenPurpose + id)) // a hash's Write never fails
	return mac.Sum(nil)[:tokenBytes]
}
