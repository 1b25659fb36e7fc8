package nextjs

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
)

const receiver = "app/api/jobs/route.js"

// sender posts each argument, {"headers", "body"}, to the handler, and prints the statuses.
const sender = `
import { POST } from "./` + receiver + `";
for (const one of process.argv.slice(2)) {
  const { headers, body } = JSON.parse(one);
  const request = new Request("http://localhost/api/jobs", { method: "POST", headers, body });
  console.log((await POST(request).catch((err) => ({ status: "500 " + err.code }))).status);
}
process.exit();
`

// What a push worker signs is done once, though it comes twice, and again after a failure;
// what others sign is not done.
func TestReceiver_DoesAJobOnce(t *testing.T) {
	t.Parallel()
	dir := installed(t, receiver, sender)
	url := devtest.Postgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	const schema = `CREATE TABLE done (id text PRIMARY KEY);
		CREATE TABLE users (id bigint PRIMARY KEY, welcomed_at timestamptz, times int NOT NULL DEFAULT 0);
		CREATE FUNCTION tally() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.times := OLD.times + 1; RETURN NEW; END $$;
		CREATE TRIGGER tally BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION tally();
		INSERT INTO users (id) VALUES (7)`
	if _, err := conn.Exec(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	secret := job.NewEndpointSecret()
	signed := func(secret, id, body string) string {
		t.Helper()
		headers, err := rookery.SignWebhook(secret, id, time.Now(), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]any{"headers": headers, "body": body})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const welcome = `{"type": "welcome", "data": {"user_id": 7}}`
	cmd := exec.CommandContext(t.Context(), "node", "call.mjs",
		signed(job.NewEndpointSecret(), "1", welcome),
		signed(secret, "1", `{"type": "welcome", "data": {"user_id": "x"}}`), // fails, and is rolled back
		signed(secret, "1", welcome), signed(secret, "1", welcome),
		signed(secret, "2", `{"type": "toString", "data": {}}`),
		signed(secret, "3", `{"type": "rookery.test", "data": {}}`))
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "DATABASE_URL="+url, "WEBHOOK_SECRET="+secret)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if want := "401\n500 22P02\n204\n204\n501\n204\n"; err != nil || string(out) != want {
		t.Errorf("POST = %q, %v, want %q; it said:\n%s", out, err, want, said.String())
	}
	var times int
	if err := conn.QueryRow(t.Context(), `SELECT times FROM users WHERE id = 7 AND welcomed_at IS NOT NULL`).Scan(&times); err != nil || times != 1 {
		t.Errorf("user 7 was welcomed %d times, %v, want once", times, err)
	}
}
