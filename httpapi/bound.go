package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/penguinmails/rookery/job"
)

// bind has a list show the jobs of the caller's queues only. A key for one queue lists
// that, by its own index. One for several has to name the queue whose ready jobs it
// wants: those are listed by queue, and the place where a page ends would name a queue
// of others. The places of other lists are ids and times.
func (p Principal) bind(l job.Listing) (job.Listing, error) {
	l.Queues = p.Queues
	if len(p.Queues) == 0 {
		return l, nil
	}
	if l.QueueName == "" && len(p.Queues) == 1 && !strings.HasSuffix(p.Queues[0], "*") {
		l.QueueName = p.Queues[0]
	}
	if l.QueueName == "" && l.Status == job.FilterReady {
		return l, invalidParameter("queue_name", "is needed with status=ready and a key that is for several queues")
	}
	if l.QueueName != "" && !p.Sees(l.QueueName) {
		return l, foreignQueue(l.QueueName)
	}
	return l, nil
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
