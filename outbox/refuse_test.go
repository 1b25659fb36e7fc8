package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/outbox"
)

func TestInsert_NamesTheWrongField(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	long := func(n int) raw { return raw(`"` + strings.Repeat("x", n-2) + `"`) }
	tests := []struct {
		args  outbox.Args
		o     outbox.Options
		field string // "" means accepted
	}{
		{mail{}, outbox.Options{QueueName: strings.Repeat("q", 100)}, ""},
		{mail{}, outbox.Options{QueueName: strings.Repeat("q", 101)}, "queue_name"},
		{mail{}, outbox.Options{QueueName: "{q}"}, "queue_name"},
		{kindOf(strings.Repeat("é", 200)), outbox.Options{}, ""},
		{kindOf(strings.Repeat("é", 201)), outbox.Options{}, "kind"},
		{kindOf("a\x00b"), outbox.Options{}, "kind"},
		{kindOf("\xff"), outbox.Options{}, "kind"},
		{mail{}, outbox.Options{Priority: new(-1)}, "priority"},
		{mail{}, outbox.Options{Priority: new(1000)}, ""},
		{mail{}, outbox.Options{Priority: new(1001)}, "priority"},
		{mail{}, outbox.Options{MaxAttempts: -1}, "max_attempts"},
		{mail{}, outbox.Options{MaxAttempts: 1000}, ""},
		{mail{}, outbox.Options{MaxAttempts: 1001}, "max_attempts"},
		{mail{}, outbox.Options{RunAt: time.Unix(0, 0)}, ""},
		{mail{}, outbox.Options{RunAt: time.Unix(0, -1)}, "run_at"},
		{mail{}, outbox.Options{RunAt: job.LastRunAt()}, "run_at"},
		{mail{}, outbox.Options{Delay: -1}, "delay"},
		{mail{}, outbox.Options{Delay: 1, RunAt: time.Now()}, "delay"},
		{mail{To: "\x00"}, outbox.Options{}, "payload"},
		{raw(`{"a":"\\u0000"}`), outbox.Options{}, ""},
		{long(job.MaxPayload), outbox.Options{}, ""},
		{long(job.MaxPayload + 1), outbox.Options{}, "payload"},
		{long(job.MaxPayload), outbox.Options{Headers: map[string]string{"a": "b"}}, "payload"},
		{raw(`null`), outbox.Options{}, ""},
		{raw(strings.Repeat(`[`, 1000) + strings.Repeat(`]`, 1000)), outbox.Options{}, ""},
		{raw(strings.Repeat(`[`, 1001) + strings.Repeat(`]`, 1001)), outbox.Options{}, "payload"},
		{mail{}, outbox.Options{Headers: map[string]string{"k": strings.Repeat("x", 8192)}}, "headers"},
		{mail{}, outbox.Options{Headers: map[string]string{"k": "\x00"}}, "headers"},
	}
	for i, test := range tests {
		what := fmt.Sprintf("Insert(row %d)", i)
		_, err := outbox.Insert(t.Context(), tx, test.args, test.o)
		if test.field != "" {
			wantField(t, what, err, test.field)
		} else if err != nil {
			t.Errorf("%s = %v, want it accepted", what, err)
		}
	}
	// Nothing of that was sent, so the transaction is still good.
	if _, err := outbox.Insert(t.Context(), tx, mail{}, outbox.Options{}); err != nil {
		t.Errorf("Insert after refusals = %v", err)
	}
	if _, err := outbox.Insert(t.Context(), tx, nil, outbox.Options{}); err == nil {
		t.Error("Insert(nil) = nil, want an error")
	}
	var unsupported interface{ Error() string }
	if _, err := outbox.Insert(t.Context(), tx, infinite{}, outbox.Options{}); !errors.As(err, &unsupported) || !strings.Contains(err.Error(), "encode payload") {
		t.Errorf("Insert(+Inf) = %v, want an encoding error", err)
	}
}

type infinite struct{}

func (infinite) Kind() string                 { return "infinite" }
func (infinite) MarshalJSON() ([]byte, error) { return nil, errors.New("cannot") }

// What only Postgres finds: it prints jsonb with spaces and plain numbers.
func TestInsert_NamesTheFieldPostgresRefused(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	conn, db := connect(t, url), open(t, url)
	tests := []struct {
		name  string
		args  raw
		state string
	}{
		{"spaces", raw(`[` + strings.Repeat("1,", job.MaxPayload/2-10) + `1]`), "23514"},
		{"large number", raw(`[1e131000,1e131000,1e131000]`), "23514"},
		{"number overflow", raw(`1e131072`), "22003"},
		{"lone surrogate", raw(`"\ud800"`), "22P02"},
	}
	for _, test := range tests {
		_, err := outbox.Insert(t.Context(), conn, test.args, outbox.Options{})
		wantField(t, "Insert("+test.name+")", err, "payload")
		if got := state(err); got != test.state && got != "" { // "" when the door finds it first
			t.Errorf("Insert(%s): SQLSTATE %s, want %s", test.name, got, test.state)
		}
		_, err = outbox.InsertSQL(t.Context(), db, test.args, outbox.Options{})
		wantField(t, "InsertSQL("+test.name+")", err, "payload")
		_, err = outbox.InsertMany(t.Context(), conn, []outbox.Item{{Args: mail{}}, {Args: test.args}})
		wantField(t, "InsertMany("+test.name+")", err, "payload")
		_, err = outbox.InsertSpecs(t.Context(), conn, []job.Spec{{}, {Payload: rawJSON("%s", string(test.args))}})
		wantField(t, "InsertSpecs("+test.name+")", err, "payload")
	}
	headers := map[string]string{}
	for i := range 580 {
		headers[fmt.Sprint(1000+i)] = "12345"
	}
	_, err := outbox.Insert(t.Context(), conn, mail{}, outbox.Options{Headers: headers})
	wantField(t, "Insert(headers with spaces)", err, "headers")
	wantOne(t, conn, 0, "SELECT count(*)::int4 FROM outbox.jobs")
}

func TestInsert_OtherErrorsAreWrapped(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	conn, db := connect(t, url), open(t, url)
	mustExec(t, conn, "ALTER TABLE outbox.jobs RENAME TO gone")
	_, err := outbox.Insert(t.Context(), conn, mail{}, outbox.Options{})
	if state(err) != "42P01" || !strings.HasPrefix(err.Error(), "insert job: ") {
		t.Errorf("Insert() = %v, want a wrapped 42P01", err)
	}
	_, err = outbox.InsertMany(t.Context(), conn, []outbox.Item{{Args: mail{}}})
	if state(err) != "42P01" || !strings.HasPrefix(err.Error(), "insert jobs: ") {
		t.Errorf("InsertMany() = %v, want a wrapped 42P01", err)
	}
	_ = db.Close()
	if _, err := outbox.InsertSQL(t.Context(), db, mail{}, outbox.Options{}); err == nil || errors.Is(err, sql.ErrNoRows) {
		t.Errorf("InsertSQL(closed) = %v, want an error", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := outbox.Insert(ended, connect(t, url), mail{}, outbox.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Insert(ended ctx) = %v, want context.Canceled", err)
	}
}
