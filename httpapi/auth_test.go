package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

const (
	keyA = "rookery_test_aaaaaaaaaaaaaaaa"
	keyB = "rookery_test_bbbbbbbbbbbbbbbb"
)

func TestAuth_Keys(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, Options{Keys: []string{keyA, keyB}, Addr: "0.0.0.0:0"})
	for _, tt := range []struct {
		name   string
		header []string
		status int
	}{
		{"first key", []string{"Bearer " + keyA}, 200},
		{"second key", []string{"Bearer " + keyB}, 200},
		{"scheme in lower case", []string{"bearer " + keyA}, 200},
		{"none", nil, 401},
		{"empty", []string{""}, 401},
		{"scheme alone", []string{"Bearer"}, 401},
		{"empty key", []string{"Bearer "}, 401},
		{"key alone", []string{keyA}, 401},
		{"other scheme", []string{"Basic " + keyA}, 401},
		{"beginning", []string{"Bearer " + keyA[:len(keyA)-1]}, 401},
		{"more", []string{"Bearer " + keyA + "a"}, 401},
		{"two spaces", []string{"Bearer  " + keyA}, 401},
		{"both keys", []string{"Bearer " + keyA + keyB}, 401},
		{"two headers", []string{"Bearer " + keyA, "Bearer " + keyA}, 401},
		{"huge", []string{"Bearer " + strings.Repeat("a", 20_000)}, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, target := range []string{"/v1/queues", "/metrics"} {
				r := newRequestTo(http.MethodGet, target, "")
				r.Host = "api.example.com"
				r.Header["Authorization"] = tt.header
				w := do(s, r)
				if tt.status == 401 {
					wantProblem(t, w, 401, codeUnauthorized)
					if got := w.Header().Get("WWW-Authenticate"); !strings.HasPrefix(got, `Bearer realm="rookery"`) {
						t.Errorf("WWW-Authenticate = %q", got)
					}
				} else if w.Code != tt.status {
					t.Errorf("%s = %d %s, want %d", target, w.Code, w.Body, tt.status)
				}
			}
		})
	}
	for target, status := range map[string]int{"/livez": 200, "/readyz": 200, "/nowhere": 401, "/v1/jobs": 401, "/livez/": 401} {
		if w := get(s, target); w.Code != status {
			t.Errorf("%s without a key = %d, want %d", target, w.Code, status)
		}
	}
}

func TestAuth_NoKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t, &fakeJobs{}, Options{})
	for _, tt := range []struct {
		name, host, origin, site string
		status                   int
	}{
		{"localhost", "localhost:8080", "", "", 201},
		{"loopback", "127.0.0.1", "", "", 201},
		{"another loopback", "127.9.9.9:1", "", "", 201},
		{"loopback 6", "[::1]:8080", "", "", 201},
		{"loopback 6 without port", "[::1]", "", "", 201},
		{"page of the same origin", "localhost:8080", "http://localhost:8080", "same-origin", 201},
		{"rebound name", "evil.example:8080", "", "", 403},
		{"name that begins well", "localhost.evil.example", "", "", 403},
		{"address of the machine", "10.0.0.1:8080", "", "", 403},
		{"no host", "", "", "", 403},
		{"page of another origin", "localhost:8080", "http://evil.example", "cross-site", 403},
		{"page of another port", "localhost:8080", "http://localhost:3000", "same-site", 403},
		{"old browser", "localhost:8080", "http://evil.example", "", 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRequestTo(http.MethodPost, "/v1/jobs", `{}`)
			r.Host = tt.host
			for name, v := range map[string]string{"Origin": tt.origin, "Sec-Fetch-Site": tt.site} {
				if v != "" {
					r.Header.Set(name, v)
				}
			}
			if w := do(s, r); w.Code != tt.status {
				t.Errorf("answer = %d %s, want %d", w.Code, w.Body, tt.status)
			}
		})
	}
}

func TestNew_Refuses(t *testing.T) {
	t.Parallel()
	probe := Check{Name: "postgres", Probe: probeOf(nil)}
	for name, o := range map[string]Options{
		"all interfaces":     {Addr: ":8080"},
		"all of IPv4":        {Addr: "0.0.0.0:8080"},
		"all of IPv6":        {Addr: "[::]:8080"},
		"private address":    {Addr: "10.0.0.1:8080"},
		"a name":             {Addr: "rookery.example:8080"},
		"no port":            {Addr: "127.0.0.1"},
		"empty key":          {Keys: []string{keyA, ""}},
		"short key":          {Keys: []string{keyA[:MinKey-1]}},
		"long key":           {Keys: []string{strings.Repeat("a", MaxKey+1)}},
		"key with a newline": {Keys: []string{keyA + "\n"}},
		"negative body":      {MaxBody: -1},
		"check without name": {Checks: []Check{{Probe: probeOf(nil)}}},
		"check with a line":  {Checks: []Check{{Name: "a\nb", Probe: probeOf(nil)}}},
		"check twice":        {Checks: []Check{probe, probe}},
		"check that is none": {Checks: []Check{{Name: "a"}}},
	} {
		if s, err := New(&fakeJobs{}, o); err == nil || s != nil {
			t.Errorf("New with %s = %v, %v; want an error", name, s, err)
		} else if strings.Contains(err.Error(), keyA[:MinKey-1]) {
			t.Errorf("New with %s says %q, which has the key", name, err)
		}
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("New without jobs = nil, want an error")
	}
	for _, o := range []Options{{}, {Addr: "localhost:0"}, {Addr: "[::1]:0"}, {Addr: ":0", Keys: []string{keyA[:MinKey]}}, {Checks: []Check{probe}}} {
		if _, err := New(&fakeJobs{}, o); err != nil {
			t.Errorf("New(%+v) = %v, want nil", o, err)
		}
	}
}
