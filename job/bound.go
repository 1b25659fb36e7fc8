package job

import (
	"slices"
	"strings"
)

// Bind narrows l to the queues that patterns name, as [MatchQueue] has it: to the one
// queue that l names, or that they do, else to all of theirs. ok is false when l names a
// queue that is none of them. No patterns leave l as it is; to bind again changes nothing.
func (l Listing) Bind(patterns []string) (bound Listing, ok bool) {
	if len(patterns) == 0 {
		return l, true
	}
	l.Queues = nil
	switch {
	case l.QueueName != "":
		return l, MatchQueue(patterns, l.QueueName)
	case len(patterns) == 1 && !strings.HasSuffix(patterns[0], "*"):
		l.QueueName = patterns[0]
	default:
		l.Queues = patterns
	}
	return l, true
}

// Within reports whether every job that l finds, now or later, is of a queue that
// patterns name: l names that queue, or only patterns that are part of theirs.
func (l Listing) Within(patterns []string) bool {
	if len(patterns) == 0 {
		return true
	}
	if l.QueueName != "" {
		return MatchQueue(patterns, l.QueueName)
	}
	return len(l.Queues) > 0 && !slices.ContainsFunc(l.Queues, func(p string) bool { return !covered(p, patterns) })
}

// covered reports whether all that a pattern names, others name too.
func covered(pattern string, by []string) bool {
	beginning, open := strings.CutSuffix(pattern, "*")
	if !open {
		return MatchQueue(by, pattern)
	}
	return slices.ContainsFunc(by, func(other string) bool {
		wider, all := strings.CutSuffix(other, "*")
		return all && strings.HasPrefix(beginning, wider)
	})
}

// Bind shows of a worker, one over HTTP too, what is of the queues that patterns name: ok is false when it
// serves none of them. What it runs is shown only when it serves no others, for the jobs
// do not say whose they are. Relays are for every queue, and not shown at all. No
// patterns leave p as it is.
func (p ProcessState) Bind(patterns []string) (bound ProcessState, ok bool) {
	if len(patterns) == 0 {
		return p, true
	}
	if p.Role == "relay" {
		return ProcessState{}, false
	}
	others := false
	see := func(queue string) bool {
		mine := MatchQueue(patterns, queue)
		others = others || !mine
		return mine
	}
	queues, epochs := []string(nil), map[string]int64{}
	for _, queue := range p.Queues {
		if see(queue) {
			queues = append(queues, queue)
		}
	}
	for queue, epoch := range p.Epochs {
		if see(queue) {
			epochs[queue] = epoch
		}
	}
	p.Queues, p.Epochs = queues, epochs
	if others {
		p.Running, p.Slots, p.Leaked = nil, 0, 0
	}
	return p, len(queues)+len(epochs) > 0
}
