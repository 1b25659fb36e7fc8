package job

import (
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"
)

// spoolPurpose keeps the seals of spooled requests apart from those of envelopes:
// neither opens as the other.
const spoolPurpose = "rookery spooled\x00"

// SealSpooled returns the seal of a spooled request, whose jobs are text:
//
//	<id of the key>:<22 characters>
//
// the latter being HMAC-SHA256 cut to 128 bits, in base64url, over the purpose ‖ key,
// 36 bytes ‖ digest, 16 bytes ‖ text. It says that somebody who can read the seal keys
// in Postgres wrote the request. A request that is copied and put back is genuine;
// its key keeps it from being inserted again, for as long as Postgres knows the key.
func (s *Seals) SealSpooled(key string, digest, text []byte) string {
	return strconv.FormatInt(int64(s.signs.id), 10) + ":" + s.signs.spooled(key, digest, text)
}

// OpenSpooled returns nil when seal is that of the request. Errors: [ErrForged],
// [ErrSealKey].
func (s *Seals) OpenSpooled(seal, key string, digest, text []byte) error {
	number, mac, _ := strings.Cut(seal, ":")
	id, err := strconv.ParseInt(number, 10, 32)
	if err != nil || len(mac) != macText || !IsSpoolKey(key) || len(digest) != SpoolDigest {
		return ErrForged
	}
	known := s.keys[int32(id)]
	if known == nil {
		return ErrSealKey
	}
	if subtle.ConstantTimeCompare([]byte(mac), []byte(known.spooled(key, digest, text))) != 1 {
		return ErrForged
	}
	return nil
}

func (s *sealer) spooled(key string, digest, text []byte) string {
	w := s.pool.Get().(*sealing)
	defer s.pool.Put(w)
	w.mac.Reset()
	w.mac.Write([]byte(spoolPurpose)) // a hash's Write never fails
	w.mac.Write([]byte(key))
	w.mac.Write(digest)
	w.mac.Write(text)
	return base64.RawURLEncoding.EncodeToString(w.mac.Sum(w.sum[:0])[:macSize])
}
