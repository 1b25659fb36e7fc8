package rookery_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
)

// The stream and the export over a real Postgres: nothing that happens between two
// connections is missed.
func TestEvents_OverHTTP(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	svc, err := rookery.Open(t.Context(), rookery.Config{DatabaseURL: url, RedisURL: devtest.Redis(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = svc.Close() })
	api, err := svc.API(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(api.Handler())
	t.Cleanup(web.Close)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	cancelled := func() (id int64) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), "INSERT INTO outbox.jobs (queue_name, kind, payload) VALUES ('mail', 'welcome', '\"secret\"') RETURNING id").Scan(&id); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "SELECT outbox.cancel($1)", id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	// Somebody has listened for a minute.
	if _, err := conn.Exec(t.Context(), "UPDATE outbox.event_gate SET open_until = now() + interval '1 hour', opening = 1, opened_at = now() - interval '1 minute'"); err != nil {
		t.Fatal(err)
	}

	first := follow(t, web.URL, "")
	first.until("event: resync")
	a := cancelled()
	first.until(fmt.Sprintf(`data: {"job_id":%d,"queue_name":"mail","kind":"welcome","status":"cancelled","attempt_count":0,`, a))
	first.close()
	b := cancelled() // while nobody is connected
	second := follow(t, web.URL, first.id)
	second.until(fmt.Sprintf(`data: {"job_id":%d,`, b))
	if strings.Contains(second.all.String()+first.all.String(), "secret") {
		t.Error("a payload is in the stream")
	}

	export := func(cursor string) (lines []string, next string) {
		t.Helper()
		res, err := http.Get(web.URL + "/v1/events/export?cursor=" + cursor) //nolint:noctx // of a test
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		for in := bufio.NewScanner(res.Body); in.Scan(); {
			lines = append(lines, in.Text())
		}
		var end struct{ Cursor string }
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil {
			t.Fatalf("export = %q: %v", lines, err)
		}
		return lines[:len(lines)-1], end.Cursor
	}
	_, at := export("")
	c, d := cancelled(), cancelled()
	lines, next := export(at)
	if again, _ := export(at); len(lines) != 2 || len(again) != 2 || !strings.HasPrefix(lines[0], fmt.Sprintf(`{"job_id":%d,`, c)) || !strings.HasPrefix(lines[1], fmt.Sprintf(`{"job_id":%d,`, d)) {
		t.Errorf("export = %q, and again %q, want both jobs both times", lines, again)
	}
	if lines, _ := export(next); len(lines) != 0 {
		t.Errorf("export behind them = %q, want nothing", lines)
	}
}

// follower is a client of the stream.
type follower struct {
	*testing.T
	in    *bufio.Scanner
	all   strings.Builder
	id    string
	close func()
}

func follow(t *testing.T, base, id string) *follower {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", id)
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("stream = %v, %v", res, err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	in := bufio.NewScanner(res.Body)
	in.Buffer(nil, 1<<20)
	return &follower{T: t, in: in, close: func() { _ = res.Body.Close() }}
}

// until reads to a line that begins so.
func (f *follower) until(want string) {
	f.Helper()
	for f.in.Scan() {
		line := f.in.Text()
		f.all.WriteString(line)
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			f.id = id
		}
		if strings.HasPrefix(line, want) {
			return
		}
	}
	f.Fatalf("the stream ended before %q; it was %s", want, f.all.String())
}
