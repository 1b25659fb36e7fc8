package oidc

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/penguinmails/rookery/job"
)

// A key that is new is found, one that is withdrawn is gone, and an issuer that is away
// keeps nobody out for a day.
func TestKeys_RotateAndAge(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	a, b := edKey(t), edKey(t)
	i.publish("a", a.Public())
	v, now := i.verifier(Options{}), time.Now()
	token := func(id string) string {
		return i.signed(jose.EdDSA, map[string]any{"a": a, "b": b}[id], id, map[string]any{"exp": now.Add(100 * time.Hour).Unix()})
	}
	wants := func(what, id string, at time.Duration, want error) {
		t.Helper()
		_, err := v.Verify(t.Context(), token(id), now.Add(at))
		var odd *job.TokenError
		switch {
		case want == nil && err == nil, want != nil && errors.Is(err, want), errors.As(want, &odd) && errors.As(err, &odd):
		default:
			t.Errorf("%s: Verify = %v, want %v", what, err, want)
		}
	}
	unknown := &job.TokenError{}
	wants("the first", "a", 0, nil)
	i.publish("b", b.Public())
	wants("a new one, too early to ask", "b", keysPause-time.Second, unknown)
	wants("a new one", "b", keysPause, nil)
	i.set(func() { i.keys = i.keys[1:] })
	wants("one that was withdrawn, for a while", "a", keysPause+keysFresh-time.Second, nil)
	wants("and then", "a", keysPause+keysFresh, unknown)
	i.set(func() { i.away = true })
	wants("while the issuer is away", "b", 10*time.Hour, nil)
	wants("an unknown one while it is away", "a", 10*time.Hour+keysPause, job.ErrUnavailable)
	wants("away for too long", "b", keysPause+keysFresh+keysGrace, job.ErrUnavailable)
	i.set(func() { i.away = false })
	wants("back", "b", 2*keysPause+keysFresh+keysGrace, nil)
}

// A flood of tokens that name invented keys asks the issuer once in half a minute, and
// keeps nobody else waiting.
func TestKeys_FloodOfUnknown(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	d := edKey(t)
	i.publish("d", d.Public())
	v, now := i.verifier(Options{}), time.Now()
	if _, err := v.Verify(t.Context(), i.signed(jose.EdDSA, d, "d", nil), now); err != nil {
		t.Fatal(err)
	}
	flood := func(at time.Time) {
		var all sync.WaitGroup
		for n := range 200 {
			token := i.signed(jose.EdDSA, d, fmt.Sprint("invented-", n), nil)
			all.Go(func() {
				var odd *job.TokenError
				if _, err := v.Verify(t.Context(), token, at); !errors.As(err, &odd) {
					t.Errorf("an invented key = %v, want a TokenError", err)
				}
			})
		}
		all.Wait()
	}
	flood(now.Add(time.Second))
	if n := i.count(); n != 1 {
		t.Errorf("the issuer was asked %d times within half a minute, want once", n)
	}
	flood(now.Add(keysPause))
	if n := i.count(); n != 2 {
		t.Errorf("half a minute later it was asked %d times, want twice", n)
	}
}

// An issuer that sends us elsewhere, or too much, or says that it is another, is not heard.
func TestKeys_HostileIssuer(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*issuer){
		"another's document": func(i *issuer) { i.says = "https://id.example.com" },
		"with a slash":       func(i *issuer) { i.says += "/" },
		"keys in the clear":  func(i *issuer) { i.keysURL = "http://id.example.com/keys" },
		"keys in a file":     func(i *issuer) { i.keysURL = "file:///etc/passwd" },
		"no keys":            func(i *issuer) { i.keysURL = "" },
		"a redirect": func(i *issuer) {
			i.answer = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }
		},
		"too much": func(i *issuer) {
			i.answer = func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`{"keys":[],"pad":"` + strings.Repeat("a", maxDocument) + `"}`))
			}
		},
		"no JSON": func(i *issuer) {
			i.answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`<html>`)) }
		},
		"an error": func(i *issuer) {
			i.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
		},
	} {
		i := newIssuer(t)
		d := edKey(t)
		i.publish("d", d.Public())
		i.set(func() { change(i) })
		if _, err := i.verifier(Options{}).Verify(t.Context(), i.signed(jose.EdDSA, d, "d", nil), time.Now()); !errors.Is(err, job.ErrUnavailable) {
			t.Errorf("%s: Verify = %v, want ErrUnavailable", name, err)
		}
	}
}
