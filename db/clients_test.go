package db_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/penguinmails/rookery/job"
)

// A client is listed once, whichever servers it asks, with what all of them know of it, and
// is quiet at each.
func TestClients_OfSeveralServers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	beat := func(server string, clients ...job.Client) []string {
		t.Helper()
		quiet, err := w.BeatClients(t.Context(), server, clients)
		if err != nil {
			t.Fatalf("BeatClients: %v", err)
		}
		return quiet
	}
	caller := func(id, address string) job.Caller { return job.Caller{WorkerID: id, Address: address} }
	a, b := job.Ref{ID: 1, DispatchID: 10}, job.Ref{ID: 2, DispatchID: 10}
	beat("one", job.Client{Caller: caller("w", "10.0.0.1"), Silent: time.Minute, Queues: []string{"mail"}, Running: []job.Ref{a}}, job.Client{Caller: caller("v", "")})
	beat("two", job.Client{Caller: caller("w", "10.0.0.2"), Queues: []string{"mail", "sms"}, Running: []job.Ref{b, a}})
	listed := func() []job.ProcessState {
		t.Helper()
		list, err := w.Clients(t.Context())
		if err != nil {
			t.Fatalf("Clients: %v", err)
		}
		return list
	}
	list := listed()
	if len(list) != 2 || list[0].ID != "v" || list[1].ID != "w" {
		t.Fatalf("Clients = %+v, want v and w", list)
	}
	got := list[1]
	if got.Role != job.RoleClient || got.Host != "10.0.0.2" || got.BeatAge >= time.Minute || got.Quiet {
		t.Errorf("client w = %+v, want it as the server knows it that heard it last", got)
	}
	if diff := gocmp.Diff([]string{"mail", "sms"}, got.Queues); diff != "" {
		t.Errorf("queues (-want +got):\n%s", diff)
	}
	slices.SortFunc(got.Running, func(a, b job.Ref) int { return int(a.ID - b.ID) })
	if diff := gocmp.Diff([]job.Ref{a, b}, got.Running); diff != "" {
		t.Errorf("running (-want +got):\n%s", diff)
	}

	if err := w.SetQuiet(t.Context(), job.Actor{Principal: "me"}, "w", true); err != nil {
		t.Fatalf("SetQuiet: %v", err)
	}
	for _, server := range []string{"one", "two", "three"} { // the last has not heard of it yet
		if quiet := beat(server, job.Client{Caller: caller("w", "")}, job.Client{Caller: caller("v", "")}); !slices.Equal(quiet, []string{"w"}) {
			t.Errorf("quiet at %s = %q, want w", server, quiet)
		}
	}
	if err := w.SetQuiet(t.Context(), job.Actor{Principal: "me"}, "w", false); err != nil {
		t.Fatalf("SetQuiet: %v", err)
	}
	if quiet := beat("one", job.Client{Caller: caller("w", "")}); len(quiet) > 0 {
		t.Errorf("quiet after all = %q, want none", quiet)
	}
	if err := w.SetQuiet(t.Context(), job.Actor{Principal: "me"}, "nobody", true); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("SetQuiet of nobody = %v, want %v", err, job.ErrNotFound)
	}

	// Names cost nothing: those that come first in the alphabet keep nobody off the list.
	w.exec(`INSERT INTO outbox.clients (id, server_id, address, about, beat_at)
		SELECT '!' || n, 'one', '', '{}', now() - interval '5 minutes' FROM generate_series(1, $1::integer) AS n`, job.MaxProcesses)
	if list := listed(); len(list) > job.MaxProcesses || !slices.ContainsFunc(list, func(p job.ProcessState) bool { return p.ID == "w" }) {
		t.Errorf("Clients beside %d older ones = %d, want w among them", job.MaxProcesses, len(list))
	}
	w.exec("DELETE FROM outbox.clients WHERE starts_with(id, '!')")
	w.exec("UPDATE outbox.clients SET beat_at = now() - interval '61 minutes' WHERE id = 'v'")
	if err := w.ForgetClients(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := listed(); len(list) != 1 || list[0].ID != "w" {
		t.Errorf("Clients after an hour of v's silence = %+v, want w alone", list)
	}
}
