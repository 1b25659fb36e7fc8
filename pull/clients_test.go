package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

func newHub(t *testing.T, o Options) *Hub {
	t.Helper()
	h, err := New(&truth{Job: job.Job{ID: 1, DispatchID: 7, Status: job.Dispatched}}, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// One key's clients do not keep those of another off the list.
func TestClients_OfOnePrincipalAreBounded(t *testing.T) {
	t.Parallel()
	h := newHub(t, Options{})
	for i := range clientsMost {
		h.hear(job.Caller{WorkerID: fmt.Sprintf("!%d", i), Principal: "key:a"}, "q", true)
	}
	h.hear(job.Caller{WorkerID: "mailer", Principal: "key:b"}, "q", true)
	list := h.clientsHeard(time.Now())
	if n := len(list); n != clientsOfOne+1 || !slices.ContainsFunc(list, func(c job.Client) bool { return c.WorkerID == "mailer" }) {
		t.Errorf("listed: %d clients, want %d of the one key, and the other's", n, clientsOfOne)
	}
}

// Who has no lease and asks for none is nobody.
func TestClients_BeatsWithoutALeaseAreNotNoted(t *testing.T) {
	t.Parallel()
	h, key := dropped(t, &truth{Job: job.Job{ID: 1, DispatchID: 7, Status: job.Dispatched}})
	forged := job.LeaseKey{ID: key.ID, Token: key.Token[:len(key.Token)-4] + "AAAA"}
	for _, leases := range [][]job.LeaseKey{nil, {forged}, {{ID: "x", Token: "y"}}} {
		if _, err := h.Beat(t.Context(), job.Caller{WorkerID: "w"}, leases); err != nil {
			t.Fatal(err)
		}
		if len(h.clients) != 0 {
			t.Fatalf("a beat with leases %v makes a client, want it to take one that is ours", leases)
		}
	}
	if _, err := h.Beat(t.Context(), job.Caller{WorkerID: "w"}, []job.LeaseKey{key}); err != nil || len(h.clients) != 1 {
		t.Errorf("after a beat with a lease: %d clients, %v, want one", len(h.clients), err)
	}
}

// What a client runs is told of only with its queue: a key of some queues is shown what
// runs of clients of these alone.
func TestClients_RunOnlyWhatIsOfAListedQueue(t *testing.T) {
	t.Parallel()
	h := newHub(t, Options{})
	lease := func(client, queue string, id int64) {
		t.Helper()
		d, err := h.enter(queue, &waiter{client: client, max: 1, lease: time.Minute, filled: make(chan struct{}, 1)})
		if err != nil {
			t.Fatal(err)
		}
		if d.hand(&workers.Job{Envelope: job.Envelope{ID: id, DispatchID: 7}}) == nil {
			t.Fatal("nobody took the job")
		}
	}
	for i := range queuesShown {
		h.hear(job.Caller{WorkerID: "many"}, fmt.Sprintf("mail.%d", i), true)
	}
	h.hear(job.Caller{WorkerID: "many"}, "bills", true) // one more than is listed
	lease("many", "bills", 1)
	lease("many", "mail.1", 2)
	h.hear(job.Caller{WorkerID: "beats"}, "", true) // its lease was another server's
	lease("beats", "bills", 3)
	for _, c := range h.clientsHeard(time.Now()) {
		p, shown := job.ProcessState{Role: job.RoleClient, Queues: c.Queues, Running: c.Running}.Bind([]string{"mail*"})
		switch c.WorkerID {
		case "many":
			if want := []job.Ref{{ID: 2, DispatchID: 7}}; !shown || !slices.Equal(p.Running, want) {
				t.Errorf("to a key of mail*, many runs %v, want %v", p.Running, want)
			}
		case "beats":
			if shown || !slices.Equal(c.Queues, []string{"bills"}) || len(c.Running) != 1 {
				t.Errorf("beats is of queues %q and runs %v, want the one of bills", c.Queues, c.Running)
			}
		}
	}
}

// The requests of quiet clients count among those that wait.
func TestLease_OfQuietClientsIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, Options{Waiters: 1})
		close(h.running)
		by := job.Caller{WorkerID: "w"}
		h.hear(by, "q", true)
		h.clients["w"].quiet = true
		ctx, hangUp := context.WithCancel(t.Context())
		first := make(chan error)
		ask := job.LeaseRequest{QueueName: "q", Caller: by, Max: 1, Wait: time.Minute, Lease: time.Minute}
		go func() {
			_, err := h.Lease(ctx, ask)
			first <- err
		}()
		synctest.Wait()
		if _, err := h.Lease(ctx, ask); !errors.Is(err, job.ErrTooManyWaiters) {
			t.Errorf("Lease beside one that waits = %v, want %v", err, job.ErrTooManyWaiters)
		}
		hangUp()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the first = %v, want that it was called off", err)
		}
		if h.waiters != 0 {
			t.Errorf("%d wait, want none", h.waiters)
		}
	})
}
