package pull

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/penguinmails/rookery/job"
)

// Who asks this server for jobs, for people. Nothing is decided by it but whether a
// client is to be quiet, which people say in Postgres: every 5 s those that came since are
// written there with one statement, however many leases they have.

const (
	clientsEvery = 5 * time.Second
	clientsMost  = 1000            // more are served, and neither shown nor quietened
	clientsOfOne = 100             // of those, of one principal
	clientAway   = 2 * time.Minute // a client that was not heard for so long is not shown from here
	queuesShown  = 20              // of a client
	forgetEvery  = time.Minute
)

// client is one of them.
type client struct {
	caller job.Caller
	heard  time.Time
	told   time.Time // when Postgres last heard of it
	queues []string
	quiet  bool
}

// hear notes that a client was heard, about a queue if not "", and reports whether it is to
// be quiet. One that is not known yet is noted if it is to be: a name costs nothing, and
// nobody may fill the list with them.
func (h *Hub) hear(c job.Caller, queue string, note bool) (quiet bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.clients[c.WorkerID]
	if known == nil {
		if !note || !h.roomLocked(c.Principal) {
			return false
		}
		known = &client{}
		h.clients[c.WorkerID] = known
	}
	known.caller, known.heard = c, time.Now()
	if queue != "" && len(known.queues) < queuesShown && !slices.Contains(known.queues, queue) {
		known.queues = append(known.queues, queue)
	}
	return known.quiet
}

// roomLocked reports whether another client of a principal may be noted.
func (h *Hub) roomLocked(principal string) bool {
	n := 0
	for _, c := range h.clients {
		if c.caller.Principal == principal {
			n++
		}
	}
	return n < clientsOfOne && len(h.clients) < clientsMost
}

// tellClients tells Postgres of clients until ctx ends, and learns which are to be quiet.
func (h *Hub) tellClients(ctx context.Context) {
	t := time.NewTicker(clientsEvery)
	defer t.Stop()
	var forgot time.Time
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		list := h.clientsHeard(now)
		if len(list) == 0 {
			continue
		}
		quiet, err := h.beatClients(ctx, list)
		if err != nil {
			h.o.Logger.WarnContext(ctx, "clients are not told of", keyError, err)
			continue
		}
		h.obey(list, quiet, now)
		if time.Since(forgot) >= forgetEvery {
			forgot = time.Now()
			_ = h.store.ForgetClients(ctx) // the next one does
		}
	}
}

func (h *Hub) beatClients(ctx context.Context, list []job.Client) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, clientsEvery)
	defer cancel()
	return h.store.BeatClients(ctx, h.o.ID, list)
}

// clientsHeard returns the clients that were heard since Postgres was told, with what they
// have, and drops those that are away.
func (h *Hub) clientsHeard(now time.Time) []job.Client {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.clients, func(_ string, c *client) bool { return now.Sub(c.heard) >= clientAway })
	list, at := []job.Client{}, map[string]int{}
	for id, c := range h.clients {
		if !c.heard.After(c.told) {
			continue
		}
		at[id] = len(list)
		list = append(list, job.Client{Caller: c.caller, Silent: now.Sub(c.heard), Queues: slices.Clone(c.queues)})
	}
	if len(list) == 0 {
		return nil
	}
	for ref, l := range h.leases {
		i, ok := at[l.client]
		if l.end != "" || !ok || len(list[i].Running) >= job.MaxRunningShown {
			continue
		}
		// Who may see some queues only is shown what runs of a client of only these: none
		// may be of a queue that is not listed.
		if c := &list[i]; slices.Contains(c.Queues, l.name.QueueName) {
			c.Running = append(c.Running, ref)
		} else if len(c.Queues) < queuesShown {
			c.Queues, c.Running = append(c.Queues, l.name.QueueName), append(c.Running, ref)
		}
	}
	return list
}

// obey notes which of list are to be quiet, and that Postgres knows of them as of now.
func (h *Hub) obey(list []job.Client, quiet []string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, told := range list {
		if c := h.clients[told.WorkerID]; c != nil {
			c.told, c.quiet = now.Add(-told.Silent), slices.Contains(quiet, told.WorkerID)
		}
	}
}
