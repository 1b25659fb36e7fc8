package dashboard_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/penguinmails/rookery"
)

// The script's figures and the table of them are those of outbox.stats and outbox.depths.
func TestCharts_OfWhatWasDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.insert("mail", "welcome")
	w.exec(`INSERT INTO outbox.stats (minute, queue_name, writer, completed, failed, wait_buckets)
		SELECT date_trunc('minute', now()) - interval '10 minutes', queue, 1, 600, 30, ARRAY[0, 0, 0, 0, 0, 0, 0, 0, 0, 600] FROM unnest(ARRAY['mail', 'other']) AS queue`)
	w.exec(`INSERT INTO outbox.depths (minute, queue_name, paused, ready, scheduled, out, workers, oldest_ms)
		SELECT date_trunc('minute', now()) - interval '10 minutes', queue, false, 1234, 0, 77, 1, 0 FROM unnest(ARRAY['mail', 'other']) AS queue`)
	for target, want := range map[string][2]float64{"/ui/charts": {1200, 2468}, "/ui/charts?range=1h&queue=mail": {600, 1234}, "/ui/charts?range=6h&queue=mail": {120, 1234}, "/ui/charts?queue=empty": {0, 0}} {
		a := w.get(target)
		var got struct {
			Completed []float64
			Ready     []*float64
		}
		if err := json.Unmarshal([]byte(a.body), &got); a.StatusCode != http.StatusOK || err != nil || a.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("GET %s = %d, %v", target, a.StatusCode, err)
		}
		completed, ready := 0.0, 0.0
		for i := range got.Completed {
			completed += got.Completed[i]
			if got.Ready[i] != nil {
				ready += *got.Ready[i]
			}
		}
		if completed != want[0] || ready != want[1] {
			t.Errorf("GET %s has %v completed a minute and %v ready, want %v", target, completed, ready, want)
		}
	}
	page := w.page("/ui/figures?queue=mail").body
	for _, want := range []string{"of queue", ">600<", ">30<", ">1,234<", ">77<", `href="/ui/figures?queue=mail&amp;range=7d"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of figures lacks %s", want)
		}
	}
	for _, target := range []string{"/ui/", "/ui/queues/mail"} {
		if page := w.page(target).body; !strings.Contains(page, `id="charts"`) || !strings.Contains(page, `href="/ui/figures?range=24h`) {
			t.Errorf("%s has no charts", target)
		}
	}
	for _, target := range []string{"/ui/charts?range=x", "/ui/figures?range=x", "/ui/figures?queue=a/b"} {
		if a := w.get(target); a.StatusCode != http.StatusBadRequest {
			t.Errorf("GET %s = %d, want 400", target, a.StatusCode)
		}
	}
}

// Strangers see no figures, and settings have no secrets.
func TestCharts_AskForAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *rookery.Config) { c.APIKeys = []string{key} })
	if a := w.get("/ui/charts"); a.StatusCode != http.StatusUnauthorized || strings.Contains(a.body, "completed") {
		t.Errorf("GET /ui/charts by a stranger = %d %s", a.StatusCode, a.body)
	}
	if a := w.get("/ui/figures"); a.StatusCode == http.StatusOK {
		t.Errorf("GET /ui/figures by a stranger = %d", a.StatusCode)
	}
}

func TestAbout_ShowsSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *rookery.Config) {
		c.DatabaseURL = strings.Replace(c.DatabaseURL, "@", ":unseen@", 1)
		c.Retention = -1
	})
	page := w.page("/ui/about").body
	if strings.Contains(page, "unseen") || !strings.Contains(page, "for ever") || !strings.Contains(page, "127.0.0.1:8080") || !strings.Contains(page, "720h") {
		t.Errorf("about shows other settings, or a secret:\n%s", page)
	}
}
