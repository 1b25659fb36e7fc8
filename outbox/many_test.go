package outbox_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/outbox"
)

func TestInsertMany_OneStatementOneTrigger(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	conn, other := connect(t, url), connect(t, url)
	mustExec(t, conn, `CREATE TABLE public.fired ();
		CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.fired DEFAULT VALUES; RETURN NULL; END $$;
		CREATE TRIGGER also AFTER INSERT ON outbox.ready FOR EACH STATEMENT EXECUTE FUNCTION fire()`)
	items := make([]outbox.Item, 10_000)
	for i := range items {
		items[i] = outbox.Item{Args: mail{To: fmt.Sprint(i)}}
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n, err := outbox.InsertMany(t.Context(), tx, items)
	if n != 10_000 || err != nil {
		t.Fatalf("InsertMany() = %d, %v, want 10000", n, err)
	}
	wantOne(t, other, 0, "SELECT count(*)::int4 FROM outbox.jobs")
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantOne(t, other, 10_000, "SELECT count(*)::int4 FROM outbox.ready")
	wantOne(t, other, 1, "SELECT count(*)::int4 FROM fired")
	wantOne(t, other, true, "SELECT bool_and((payload ->> 'to')::bigint = id - 1) FROM outbox.jobs")
}

func TestInsertMany_TimesInOneCopy(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	soon := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	items := []outbox.Item{
		{Args: kindOf("0")},
		{Args: kindOf("1"), Options: outbox.Options{RunAt: soon}},
		{Args: kindOf("2")},
		{Args: kindOf("3"), Options: outbox.Options{Delay: time.Hour}},
	}
	if n, err := outbox.InsertMany(t.Context(), conn, items); n != 4 || err != nil {
		t.Fatalf("InsertMany() = %d, %v, want 4", n, err)
	}
	wantOne(t, conn, "0123", "SELECT string_agg(kind, '' ORDER BY id) FROM outbox.jobs")
	wantOne(t, conn, "02", "SELECT string_agg(kind, '' ORDER BY id) FROM outbox.jobs JOIN outbox.ready ON id = job_id")
	wantOne(t, conn, "13", "SELECT string_agg(kind, '' ORDER BY id) FROM outbox.jobs JOIN outbox.scheduled ON id = job_id")
	wantOne(t, conn, true, "SELECT run_at = $1 FROM outbox.jobs WHERE kind = '1'", soon)
}

func TestInsertMany_AllOrNothing(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	conn, db := connect(t, url), open(t, url)
	bad := []outbox.Item{{Args: mail{}}, {Args: mail{}, Options: outbox.Options{Priority: new(1001)}}, {Args: mail{}}}
	wantItem := func(what string, err error, index int, field string) {
		t.Helper()
		wantField(t, what, err, field)
		var item *outbox.ItemError
		if !errors.As(err, &item) || item.Index != index {
			t.Errorf("%s = %v, want an ItemError of index %d", what, err, index)
		}
	}
	_, err := outbox.InsertMany(t.Context(), conn, bad)
	wantItem("InsertMany", err, 1, "priority")
	if want := "insert jobs: jobs[1] priority is 1001, must be 0 to 1000"; err.Error() != want {
		t.Errorf("error = %q, want %q", err, want)
	}
	_, err = outbox.InsertManySQL(t.Context(), db, bad)
	wantItem("InsertManySQL", err, 1, "priority")
	_, err = outbox.InsertSpecs(t.Context(), conn, []job.Spec{{}, {}, {Kind: strings.Repeat("k", 201)}})
	wantItem("InsertSpecs", err, 2, "kind")

	// What only Postgres finds: the statement says which, and aborts nothing.
	wide := rawJSON(`[%s1]`, strings.Repeat("1,", job.MaxPayload/2-10))
	err = pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		_, err := outbox.InsertSpecs(t.Context(), tx, []job.Spec{{}, {Payload: wide}, {Payload: wide}})
		wantItem("InsertSpecs(wide)", err, 1, "payload")
		_, err = outbox.InsertSpecs(t.Context(), tx, []job.Spec{{Kind: "after"}})
		return err
	})
	if err != nil {
		t.Errorf("the transaction was aborted: %v", err)
	}
	// A COPY that Postgres refuses leaves nothing, even on a bare connection.
	if _, err := outbox.InsertMany(t.Context(), conn, []outbox.Item{{Args: mail{}}, {Args: raw(wide)}}); err == nil {
		t.Error("InsertMany(wide) = nil, want an error")
	}
	wantOne(t, conn, "after", "SELECT string_agg(kind, ',') FROM outbox.jobs")
}

func TestInsertMany_Nothing(t *testing.T) {
	t.Parallel()
	// No server is asked, so none is needed.
	if n, err := outbox.InsertMany(t.Context(), nil, nil); n != 0 || err != nil {
		t.Errorf("InsertMany(none) = %d, %v", n, err)
	}
	if ids, err := outbox.InsertManySQL(t.Context(), nil, nil); len(ids) != 0 || err != nil {
		t.Errorf("InsertManySQL(none) = %v, %v", ids, err)
	}
	if ids, err := outbox.InsertSpecs(t.Context(), nil, nil); len(ids) != 0 || err != nil {
		t.Errorf("InsertSpecs(none) = %v, %v", ids, err)
	}
}

func TestInsertSpecs_IDsInOrder(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	specs := make([]job.Spec, 1000)
	var want []string
	for i := range specs {
		// Priorities and times run against the order.
		specs[i] = job.Spec{Kind: fmt.Sprint(i), Priority: new(1000 - i), RunAt: time.Unix(int64(2_000_000-i), 0)}
		want = append(want, fmt.Sprint(i))
	}
	ids, err := outbox.InsertSpecs(t.Context(), conn, specs)
	if err != nil {
		t.Fatal(err)
	}
	got := one[[]string](t, conn, `SELECT array_agg(j.kind ORDER BY g.place)
		FROM unnest($1::bigint[]) WITH ORDINALITY AS g (id, place) JOIN outbox.jobs AS j USING (id)`, ids)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds by ids (-want +got):\n%s", diff)
	}
}

func TestInsertSpecs_KeepsNullAndOrderOfDefaults(t *testing.T) {
	t.Parallel()
	conn := connect(t, devtest.Postgres(t))
	ids, err := outbox.InsertSpecs(t.Context(), conn, []job.Spec{{Payload: rawJSON(`null`)}, {}, {Payload: rawJSON(`"<&>"`), Headers: rawJSON(`{}`)}})
	if err != nil {
		t.Fatal(err)
	}
	base := stored{QueueName: "default", Priority: 100, MaxAttempts: 25, Status: "queued", Due: true}
	for i, payload := range []string{`null`, `{}`, `"<&>"`} {
		want := base
		want.Payload = payload
		if i == 2 {
			want.Headers = `{}`
		}
		if diff := cmp.Diff(want, read(t, conn, ids[i])); diff != "" {
			t.Errorf("spec %d (-want +got):\n%s", i, diff)
		}
	}
}
