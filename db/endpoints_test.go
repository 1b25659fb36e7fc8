package db_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

func endpointAt(queue, url string) job.Endpoint {
	return job.Endpoint{QueueName: queue, URL: url}.Filled()
}

// set sets an endpoint with a fresh secret, which it returns.
func (w *world) set(e job.Endpoint) (secret string) {
	w.Helper()
	secret = job.NewEndpointSecret()
	if _, _, err := w.SetEndpoint(w.Context(), people, e, secret); err != nil {
		w.Fatalf("SetEndpoint(%s): %v", e.QueueName, err)
	}
	return secret
}

func TestEndpoint_SetRotateDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	first := job.NewEndpointSecret()
	e := endpointAt(queue, "https://a.example/hook?token=canary")
	set, created, err := w.SetEndpoint(ctx, people, e, first)
	if err != nil || !created || set.CreatedAt.IsZero() {
		t.Fatalf("SetEndpoint = %+v, %t, %v, want a new one", set, created, err)
	}
	e.RatePerSecond, e.MaxInFlight = 2.5, 3
	if set, created, err = w.SetEndpoint(ctx, people, e, job.NewEndpointSecret()); err != nil || created {
		t.Fatalf("SetEndpoint again = %t, %v, want it changed", created, err)
	}
	got, err := w.Endpoint(ctx, queue)
	if diff := cmp.Diff(set, got, cmpopts.EquateApproxTime(0)); err != nil || diff != "" || got.RatePerSecond != 2.5 || got.Secrets != nil {
		t.Errorf("Endpoint, %v (-set +got):\n%s", err, diff)
	}
	signed := func(want ...string) {
		t.Helper()
		one, err := w.SignedEndpoint(ctx, queue)
		if diff := cmp.Diff(want, one.Secrets); err != nil || diff != "" {
			t.Errorf("SignedEndpoint, %v (-want +got):\n%s", err, diff)
		}
		all, err := w.SignedEndpoints(ctx)
		if err != nil || len(all) != 1 || !cmp.Equal(all[0].Secrets, want) {
			t.Errorf("SignedEndpoints = %d, %v, want one with the same secrets", len(all), err)
		}
	}
	signed(first) // changed, it keeps its secret

	second := job.NewEndpointSecret()
	if err := w.RotateEndpoint(ctx, people, queue, second, time.Hour); err != nil {
		t.Fatal(err)
	}
	signed(second, first)
	w.exec("UPDATE outbox.endpoints SET old_secret_until = now()")
	signed(second)
	if err := w.RotateEndpoint(ctx, people, queue, first, 0); err != nil {
		t.Fatal(err)
	}
	signed(first)
	if err := w.RotateEndpoint(ctx, people, "other", second, 0); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("RotateEndpoint of none = %v, want ErrNotFound", err)
	}
	for _, want := range []bool{true, false} {
		if done, err := w.DeleteEndpoint(ctx, people, queue); err != nil || done != want {
			t.Errorf("DeleteEndpoint = %t, %v, want %t", done, err, want)
		}
	}
	if _, err := w.Endpoint(ctx, queue); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("Endpoint once deleted = %v, want ErrNotFound", err)
	}
	lines := get[[]string](w, "SELECT array_agg(action || ' ' || queue_name || ' ' || detail::text ORDER BY id) FROM outbox.audit")
	var actions []string
	for _, l := range lines {
		actions = append(actions, strings.Fields(l)[0])
	}
	if diff := cmp.Diff([]string{"endpoint.set", "endpoint.set", "endpoint.rotate", "endpoint.rotate", "endpoint.delete"}, actions); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
	if all := strings.Join(lines, "\n"); strings.Contains(all, "whsec_") || strings.Contains(all, "canary") || !strings.Contains(all, "a.example") {
		t.Errorf("the audit has %s, want the host and no secret", all)
	}
}

// What an answer of 410 does, and what ends it.
func TestEndpoint_DisablingPausesTheQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	paused := func(queue string) bool {
		return get[bool](w, "SELECT coalesce((SELECT paused FROM outbox.queues WHERE name = '"+queue+"'), false)")
	}
	disable := func(queue, url string, want bool) {
		t.Helper()
		if done, err := w.DisableEndpoint(ctx, queue, url, "410 Gone"); err != nil || done != want {
			t.Errorf("DisableEndpoint(%s) = %t, %v, want %t", url, done, err, want)
		}
	}
	a := endpointAt(queue, "https://a.example/")
	w.set(a)
	disable(queue, "https://b.example/", false) // it was moved meanwhile
	if paused(queue) {
		t.Error("the queue is paused for another URL's answer")
	}
	disable(queue, a.URL, true)
	disable(queue, a.URL, false)
	if e, err := w.Endpoint(ctx, queue); err != nil || e.DisabledAt == nil || e.DisabledReason != "410 Gone" || !paused(queue) {
		t.Errorf("Endpoint = %+v, %v, paused %t, want it disabled with its reason", e, err, paused(queue))
	}
	w.set(a)
	if e, err := w.Endpoint(ctx, queue); err != nil || e.DisabledAt != nil || e.DisabledReason != "" || paused(queue) {
		t.Errorf("Endpoint set again = %+v, %v, paused %t, want it enabled and the queue resumed", e, err, paused(queue))
	}
	disable(queue, a.URL, true)
	if _, err := w.DeleteEndpoint(ctx, people, queue); err != nil || paused(queue) {
		t.Errorf("DeleteEndpoint: %v, paused %t, want the queue resumed", err, paused(queue))
	}

	// A queue that a person has paused stays so.
	if err := w.SetPaused(ctx, queue, true); err != nil {
		t.Fatal(err)
	}
	w.set(a)
	disable(queue, a.URL, true)
	w.set(a)
	if !paused(queue) {
		t.Error("setting the endpoint has resumed a queue that a person had paused")
	}
	if n := get[int](w, "SELECT count(*) FROM outbox.audit WHERE principal = 'push' AND action = 'endpoint.disable'"); n != 3 {
		t.Errorf("%d lines of the audit say who disabled it, want 3", n)
	}
}

func TestEndpoint_Refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for field, e := range map[string]job.Endpoint{
		"queue_name":      endpointAt("a b", "https://a.example"),
		"url":             endpointAt(queue, "ftp://a.example"),
		"timeout_ms":      {QueueName: queue, URL: "https://a.example", TimeoutMS: 999, MaxInFlight: 1},
		"max_in_flight":   {QueueName: queue, URL: "https://a.example", TimeoutMS: 1000, MaxInFlight: 1001},
		"rate_per_second": {QueueName: queue, URL: "https://a.example", TimeoutMS: 1000, MaxInFlight: 1, RatePerSecond: -1},
	} {
		var wrong *job.FieldError
		if _, _, err := w.SetEndpoint(t.Context(), people, e, job.NewEndpointSecret()); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("SetEndpoint with a bad %s = %v, want a FieldError of it", field, err)
		}
	}
	for i := range job.MaxEndpoints {
		w.exec("INSERT INTO outbox.endpoints (queue_name, url, secret) VALUES ($1, 'https://a.example', $2)", fmt.Sprintf("q%d", i), job.NewEndpointSecret())
	}
	w.set(endpointAt("q0", "https://b.example")) // it is no further one
	var wrong *job.FieldError
	if _, _, err := w.SetEndpoint(t.Context(), people, endpointAt("more", "https://a.example"), job.NewEndpointSecret()); !errors.As(err, &wrong) {
		t.Errorf("one endpoint too many = %v, want a FieldError", err)
	}
	if got, err := w.SignedEndpoints(t.Context()); err != nil || len(got) != job.MaxEndpoints {
		t.Errorf("SignedEndpoints = %d, %v, want %d", len(got), err, job.MaxEndpoints)
	}
	// Postgres keeps the same limits.
	for _, change := range []string{
		"timeout_ms = 999", "timeout_ms = 600001", "max_in_flight = 0", "max_in_flight = 1001", "rate_per_second = 10001", "rate_per_second = 0.001",
		"rate_per_second = 'NaN'", "url = ''", "url = 'ftp://a'", "url = 'https://' || repeat('a', 2041)", "secret = 'x'", "old_secret = 'x'",
		"queue_name = 'a b'", "disabled_reason = repeat('a', 501)",
	} {
		if _, err := w.side.Exec(t.Context(), "UPDATE outbox.endpoints SET "+change+" WHERE queue_name = 'q1'"); err == nil {
			t.Errorf("Postgres takes %s", change)
		}
	}
}

// Secrets are for those who sign.
func TestEndpoint_WhoMaySeeSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(endpointAt(queue, "https://a.example"))
	for role, may := range map[string]bool{"rookery_server": true, "rookery_api": true, "rookery_worker rookery_pusher": true, "rookery_worker": false, "rookery_relay": false, "rookery_readonly": false, "rookery_producer": false} {
		side := sidePool(t, devtest.Login(t, w.url, strings.Fields(role)...))
		for _, column := range []string{"secret", "old_secret"} {
			if _, err := side.Exec(t.Context(), "SELECT "+column+" FROM outbox.endpoints"); (err == nil) != may {
				t.Errorf("%s reads %s: %v, want allowed %t", role, column, err, may)
			}
		}
		if _, err := side.Exec(t.Context(), "UPDATE outbox.endpoints SET url = 'https://b.example'"); (err == nil) != (may && !strings.Contains(role, "pusher")) {
			t.Errorf("%s moves the endpoint: %v, want allowed only to who sets endpoints", role, err)
		}
	}
	people := worldWithout(w, devtest.Login(t, w.url, "rookery_readonly"))
	if got, err := people.Endpoints(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("Endpoints as rookery_readonly = %v, %v, want one", got, err)
	}
	if _, err := people.SignedEndpoints(t.Context()); !errors.Is(err, job.ErrDenied) {
		t.Errorf("SignedEndpoints as rookery_readonly = %v, want ErrDenied", err)
	}
}

// Somebody disables an endpoint and enables it again: each is recorded once, and push
// workers see a newer endpoint.
func TestEndpoint_Switched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.set(endpointAt(queue, "https://a.example"))
	before, err := w.Endpoint(ctx, queue)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ on, done, paused bool }{{true, false, false}, {false, true, true}, {false, false, true}, {true, true, false}, {true, false, false}} {
		done, err := w.SwitchEndpoint(ctx, people, queue, step.on)
		if paused := get[bool](w, "SELECT paused FROM outbox.queues WHERE name = $1", queue); err != nil || done != step.done || paused != step.paused {
			t.Errorf("SwitchEndpoint(%t) = %t, %v, the queue is paused %t, want %t and %t", step.on, done, err, paused, step.done, step.paused)
		}
	}
	after, err := w.Endpoint(ctx, queue)
	if err != nil || !after.UpdatedAt.After(before.UpdatedAt) || after.DisabledAt != nil {
		t.Errorf("Endpoint = %+v, %v, want it newer and enabled", after, err)
	}
	if got := get[string](w, "SELECT string_agg(action, ' ' ORDER BY id) FROM outbox.audit WHERE action <> 'endpoint.set'"); got != "endpoint.disable endpoint.enable" {
		t.Errorf("the audit has %q", got)
	}
	for _, on := range []bool{true, false} {
		if _, err := w.SwitchEndpoint(ctx, people, "none", on); !errors.Is(err, job.ErrNotFound) {
			t.Errorf("SwitchEndpoint of none = %v, want %v", err, job.ErrNotFound)
		}
	}
}
