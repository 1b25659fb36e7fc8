package push

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/penguinmails/rookery/job"
)

// The judge is the library that Standard Webhooks gives to receivers.
func TestSign_AsReceiversVerifyIt(t *testing.T) {
	t.Parallel()
	fresh, old, other := job.NewEndpointSecret(), job.NewEndpointSecret(), job.NewEndpointSecret()
	body := []byte(`{"type":"welcome","data":{"to":"ä@b.c"}}`)
	now := time.Now()
	signature, err := Sign([]string{fresh, old}, "42", now, body)
	if err != nil || len(strings.Fields(signature)) != 2 {
		t.Fatalf("Sign = %q, %v, want two signatures", signature, err)
	}
	header := http.Header{}
	header.Set(HeaderID, "42")
	header.Set(HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	header.Set(HeaderSignature, signature)
	for secret, ok := range map[string]bool{fresh: true, old: true, other: false} {
		wh, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := wh.Verify(body, header); (err == nil) != ok {
			t.Errorf("the library says %v, want verified %t", err, ok)
		}
		if err := wh.Verify(append(body, ' '), header); err == nil {
			t.Error("the library verifies a changed body")
		}
		theirs, err := wh.Sign("42", now, body)
		if err != nil {
			t.Fatal(err)
		}
		if err := Verify(secret, "42", header.Get(HeaderTimestamp), "v2,x "+theirs, body, now); err != nil {
			t.Errorf("Verify of the library's signature = %v, want nil", err)
		}
	}
}

func TestVerify_Refuses(t *testing.T) {
	t.Parallel()
	secret, now, body := job.NewEndpointSecret(), time.Unix(1_800_000_000, 0), []byte("{}")
	signature, err := Sign([]string{secret}, "1", now, body)
	if err != nil {
		t.Fatal(err)
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	for name, tt := range map[string]struct {
		secret, id, stamp, signatures, body string
		at                                  time.Time
		ok                                  bool
	}{
		"as it was sent":     {secret, "1", stamp, signature, "{}", now, true},
		"5 min later":        {secret, "1", stamp, signature, "{}", now.Add(Tolerance), true},
		"later than that":    {secret, "1", stamp, signature, "{}", now.Add(Tolerance + time.Second), false},
		"too far ahead":      {secret, "1", stamp, signature, "{}", now.Add(-Tolerance - time.Second), false},
		"another body":       {secret, "1", stamp, signature, "{ }", now, false},
		"another id":         {secret, "2", stamp, signature, "{}", now, false},
		"another time":       {secret, "1", "1800000001", signature, "{}", now, false},
		"another secret":     {job.NewEndpointSecret(), "1", stamp, signature, "{}", now, false},
		"no secret":          {"whsec_", "1", stamp, signature, "{}", now, false},
		"no id":              {secret, "", stamp, signature, "{}", now, false},
		"no time":            {secret, "1", "", signature, "{}", now, false},
		"no signature":       {secret, "1", stamp, "", "{}", now, false},
		"another version":    {secret, "1", stamp, "v2" + signature[2:], "{}", now, false},
		"a signature of odd": {secret, "1", stamp, "v1,%%%", "{}", now, false},
	} {
		if err := Verify(tt.secret, tt.id, tt.stamp, tt.signatures, []byte(tt.body), tt.at); (err == nil) != tt.ok {
			t.Errorf("%s: Verify = %v, want verified %t", name, err, tt.ok)
		}
	}
}
