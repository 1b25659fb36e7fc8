package push

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/penguinmails/rookery/job"
)

// The headers of Standard Webhooks.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp" // Unix seconds
	HeaderSignature = "Webhook-Signature"
)

// Tolerance is how old a request may be, or how far ahead, before a receiver refuses it.
const Tolerance = 5 * time.Minute

const signatureVersion = "v1,"

// Sign returns the value of Webhook-Signature: "v1," and base64 of the HMAC-SHA256 of
// id.timestamp.body, once for each secret, with spaces between.
func Sign(secrets []string, id string, at time.Time, body []byte) (string, error) {
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		sum, err := digest(secret, id, strconv.FormatInt(at.Unix(), 10), body)
		if err != nil {
			return "", err
		}
		signatures[i] = signatureVersion + base64.StdEncoding.EncodeToString(sum)
	}
	return strings.Join(signatures, " "), nil
}

// Verify returns nil when one of the signatures of a request was made with secret, and
// its timestamp is within [Tolerance] of now.
func Verify(secret, id, timestamp, signatures string, body []byte, now time.Time) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || id == "" || signatures == "" {
		return errors.New("the request has no id, no timestamp in Unix seconds, or no signature")
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > Tolerance || age < -Tolerance {
		return fmt.Errorf("the request's timestamp is more than %s from now", Tolerance)
	}
	want, err := digest(secret, id, timestamp, body)
	if err != nil {
		return err
	}
	for one := range strings.FieldsSeq(signatures) {
		encoded, v1 := strings.CutPrefix(one, signatureVersion)
		got, err := base64.StdEncoding.DecodeString(encoded)
		if v1 && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return errors.New("no signature matches")
}

func digest(secret, id, timestamp string, body []byte) ([]byte, error) {
	key, err := job.ParseEndpointSecret(secret)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return mac.Sum(nil), nil
}
