package httpapi

import (
	"context"
	"net/http"
	"slices"

	"github.com/penguinmails/rookery/job"
)

// bind narrows a filter to the jobs of the caller's queues.
func (p Principal) bind(l job.Listing) (job.Listing, error) {
	bound, ok := l.Bind(p.Queues)
	if !ok {
		return l, foreignQueue(l.QueueName)
	}
	return bound, nil
}

// bindList is bind for a list that is shown page by page. A key for several queues has to
// name the one whose ready jobs it wants: those are listed by queue, and the place where a
// page ends would name a queue of others. The places of other lists are ids and times.
func (p Principal) bindList(l job.Listing) (job.Listing, error) {
	l, err := p.bind(l)
	if err == nil && len(l.Queues) > 0 && l.Status == job.FilterReady {
		err = invalidParameter("queue_name", "is needed with status=ready and a key that is for several queues")
	}
	return l, err
}

// workers returns what the caller may know of relays and workers.
func (p Principal) workers(found []job.ProcessState) []job.ProcessState {
	seen := []job.ProcessState{}
	for _, f := range found {
		if bound, ok := f.Bind(p.Queues); ok {
			seen = append(seen, bound)
		}
	}
	return seen
}

// visible returns those of some queues' figures that the caller may see, never nil.
func (s *Server) visible(ctx context.Context, stats []job.QueueStats) []job.QueueStats {
	who := s.principal(ctx)
	out := slices.DeleteFunc(slices.Clone(stats), func(q job.QueueStats) bool { return !who.Sees(q.Name) })
	if out == nil {
		return []job.QueueStats{}
	}
	return out
}

// foreignQueue says that the key is not for a queue that the caller named.
func foreignQueue(name string) *problem {
	return newProblem(http.StatusForbidden, codeForbidden, "the key is not for the queue "+name)
}
