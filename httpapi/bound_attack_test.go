package httpapi_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
)

// askWith is ask with one more header.
func (h *house) askWith(key, method, target, body, name, value string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost"+target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set(name, value)
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w
}

// What another key was told (a tag, a cursor, the key of a request) opens nothing.
func TestBoundKeys_WhatOthersWereToldOpensNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	all, some := h.key(), h.key("mine.*")
	id, op := h.job(theirs, ""), h.operation(theirs)
	for _, path := range []string{fmt.Sprintf("/v1/jobs/%d", id), fmt.Sprintf("/v1/operations/%d", op)} {
		tag := h.ask(all, "GET", path, "").Header().Get("ETag")
		for _, given := range []string{tag, "*"} {
			w := h.askWith(some, "GET", path, "", "If-None-Match", given)
			if tag == "" || w.Code != 404 || w.Header().Get("ETag") != "" {
				t.Errorf("GET %s with If-None-Match %s = %d, ETag %q, want 404 and none", path, given, w.Code, w.Header().Get("ETag"))
			}
		}
	}
	if w := h.ask(some, "GET", fmt.Sprintf("/v1/jobs/%d?wait=1s&until=finished", id), ""); w.Code != 404 {
		t.Errorf("a wait for another's job = %d %s, want 404 at once", w.Code, w.Body)
	}

	body := fmt.Sprintf(`{"queue_name":%q}`, theirs)
	first := h.askWith(all, "POST", "/v1/jobs", body, "Idempotency-Key", "k")
	if w := h.askWith(some, "POST", "/v1/jobs", body, "Idempotency-Key", "k"); first.Code != 201 || w.Code != 403 || strings.Contains(w.Body.String(), `"id":`) {
		t.Errorf("another's request sent again = %d %s, want 403 and not its job", w.Code, w.Body)
	}
	own := fmt.Sprintf(`{"queue_name":%q}`, mine)
	h.askWith(all, "POST", "/v1/jobs", own, "Idempotency-Key", "o")
	if w := h.askWith(some, "POST", "/v1/jobs", own, "Idempotency-Key", "o"); w.Code != 201 || w.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("another's request into one's own queue = %d %s, replayed %q, want a job of one's own", w.Code, w.Body, w.Header().Get("Idempotency-Replayed"))
	}

	// A cursor of the events, made when nothing had happened, read after something has.
	_, began, _ := strings.Cut(h.ask(all, "GET", "/v1/events/export", "").Body.String(), `{"cursor":"`)
	began, _, _ = strings.Cut(began, `"`)
	for _, queue := range []string{theirs, mine} {
		if w := h.ask(all, "POST", fmt.Sprintf("/v1/jobs/%d/cancel", h.job(queue, "")), ""); w.Code != 200 {
			t.Fatalf("cancel = %d %s", w.Code, w.Body)
		}
	}
	whole, part := h.ask(all, "GET", "/v1/events/export?cursor="+began, ""), h.ask(some, "GET", "/v1/events/export?cursor="+began, "")
	if !strings.Contains(whole.Body.String(), theirs) || !strings.Contains(part.Body.String(), mine) || strings.Contains(part.Body.String(), theirs) {
		t.Errorf("events behind another's cursor = %d %s, want those of %s only, of\n%s", part.Code, part.Body, mine, whole.Body)
	}
}

// A key for several queues, one of which begins as another's does.
func TestBoundKeys_NamesThatAlmostMatch(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := h.key("mine", "mine.a*", "spare")
	for _, queue := range []string{"mine.b", "min", "mine.", "Mine", "spare.x", "m"} {
		id := h.job(queue, "")
		if w := h.ask(key, "GET", fmt.Sprintf("/v1/jobs/%d", id), ""); w.Code != 404 {
			t.Errorf("a job of %s = %d, want 404", queue, w.Code)
		}
		if w := h.ask(key, "POST", "/v1/jobs/bulk", fmt.Sprintf(`{"action":"cancel","ids":["%d"]}`, id)); !strings.Contains(w.Body.String(), `"done":0`) {
			t.Errorf("bulk on a job of %s = %d %s, want none done", queue, w.Code, w.Body)
		}
		for _, path := range []string{"/v1/jobs?queue_name=" + queue, "/v1/queues/" + queue, "/v1/stats/" + queue + "/scaler"} {
			if w := h.ask(key, "GET", path, ""); w.Code != 403 {
				t.Errorf("GET %s = %d, want 403", path, w.Code)
			}
		}
		h.worker("w-"+queue, queue)
	}
	if w := h.ask(key, "GET", "/v1/workers", ""); strings.Contains(w.Body.String(), `"id":"w-`) {
		t.Errorf("workers = %s, want none", w.Body)
	}
	for _, path := range []string{"/v1/jobs", "/v1/queues", "/v1/stats"} {
		if w := h.ask(key, "GET", path, ""); strings.Contains(w.Body.String(), "mine.b") || strings.Contains(w.Body.String(), "spare.x") {
			t.Errorf("GET %s = %s, want nothing of others", path, w.Body)
		}
	}
}

// An operation goes on when its key has ended, within the queues that the key was for.
func TestBoundKeys_OperationOutlivesItsKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := h.key("mine.*")
	own, foreign := h.job(mine, ""), h.job(theirs, "")
	if w := h.ask(key, "POST", "/v1/jobs/bulk", `{"action":"cancel","filter":{"kind":"k"}}`); w.Code != 202 {
		t.Fatalf("bulk = %d %s", w.Code, w.Body)
	}
	if _, err := h.sql.Exec(t.Context(), `UPDATE outbox.api_keys SET revoked_at = $1`, time.Now()); err != nil {
		t.Fatal(err)
	}
	h.operate()
	if a, b := h.status(own), h.status(foreign); a != string(job.Cancelled) || b != string(job.Queued) {
		t.Errorf("its own job is %s, another's %s, want cancelled and queued", a, b)
	}
}
