package job

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// BrowseCap is how many places of its list one page looks at, so that a filter which
// matches little costs no more than one which matches all.
const BrowseCap = 5_000

// Words by which a list is asked for beside those of [Status]: what people call a
// queued job, and what they call one that is with Redis or a worker.
const (
	FilterReady     = "ready"     // queued and due
	FilterScheduled = "scheduled" // queued for later, never failed
	FilterRetrying  = "retrying"  // queued for later, after a failure
	FilterOut       = "out"       // dispatched or running
)

// Filters lists every word that [Listing].Status may be.
func Filters() []string {
	return []string{
		string(Queued), FilterReady, FilterScheduled, FilterRetrying, FilterOut,
		string(Dispatched), string(Running), string(Completed), string(Dead), string(Cancelled),
	}
}

// CheckFilter returns a [*FieldError] unless status is empty or one of [Filters].
func CheckFilter(status string) error {
	if status == "" || slices.Contains(Filters(), status) {
		return nil
	}
	return &FieldError{Field: "status", Problem: fmt.Sprintf("is %.40q, must be one of %s", status, strings.Join(Filters(), ", "))}
}

// Listing says which jobs a page is to show. The order follows from Status: ready as
// they are claimed (over all queues: by queue first), scheduled and retrying as they
// fall due, dead the last to die first, everything else the newest first. As JSON it is
// the filter alone, as operations keep it.
type Listing struct {
	Queues        []string  `json:"queues,omitempty"`        // jobs of these only: names, or beginnings that end in *; none: of all
	QueueName     string    `json:"queue_name,omitempty"`    // "" means all queues
	Kind          *string   `json:"kind,omitempty"`          // nil means any, and email.* every kind that begins with email.; a kind may be empty
	Status        string    `json:"status,omitempty"`        // "" or one of [Filters]
	CreatedAfter  time.Time `json:"created_after,omitzero"`  // zero means any; jobs inserted at that moment are not shown
	CreatedBefore time.Time `json:"created_before,omitzero"` // zero means any; nor are those inserted at this one
	DiedAfter     time.Time `json:"died_after,omitzero"`     // zero means any; for Status [Dead] only
	Limit         int       `json:"-"`                       // 1 to [MaxListing]
	ErrorChars    int       `json:"-"`                       // where LastError is cut; 0 means nowhere
	From          *Place    `json:"-"`                       // behind this place; nil means from the start
}

// MaxListing is the most jobs that a page shows.
const MaxListing = 1000

// KindPrefix returns what the kinds of the listing begin with, and whether the rest of
// them is open: Kind ends in *, or is nil.
func (l Listing) KindPrefix() (prefix string, open bool) {
	if l.Kind == nil {
		return "", true
	}
	return strings.CutSuffix(*l.Kind, "*")
}

// Narrow reports whether the listing asks for less than all jobs.
func (l Listing) Narrow() bool {
	return len(l.Queues) > 0 || l.QueueName != "" || l.Kind != nil || l.Status != "" ||
		!l.CreatedAfter.IsZero() || !l.CreatedBefore.IsZero() || !l.DiedAfter.IsZero()
}

// Check returns a [*FieldError] for the first field that breaks a limit.
func (l Listing) Check() error {
	if l.QueueName != "" {
		if err := CheckQueueName(l.QueueName); err != nil {
			return err
		}
	}
	if l.Kind != nil {
		if err := CheckKind(strings.TrimSuffix(*l.Kind, "*")); err != nil {
			return err
		}
	}
	if !l.DiedAfter.IsZero() && l.Status != string(Dead) {
		return &FieldError{Field: "died_after", Problem: "is for the status dead alone"}
	}
	if l.ErrorChars < 0 || l.ErrorChars > MaxErrorText {
		return &FieldError{Field: "error_chars", Problem: fmt.Sprintf("is %d, must be 0 to %d", l.ErrorChars, MaxErrorText)}
	}
	if l.Limit < 1 || l.Limit > MaxListing {
		return &FieldError{Field: "limit", Problem: fmt.Sprintf("is %d, must be 1 to %d", l.Limit, MaxListing)}
	}
	return CheckFilter(l.Status)
}

// Place is where a job stands in the index that its list walks. Only the fields that
// the list is ordered by are set; ID always is.
type Place struct {
	ID        int64     `json:"id"`
	QueueName string    `json:"queue_name,omitempty"` // ready
	Priority  int16     `json:"priority,omitempty"`   // ready; [LostPriority] for a job whose worker was lost
	At        time.Time `json:"at,omitzero"`          // scheduled, retrying: run_at; dead: when it died
}

// Page is a part of a list, without payloads and headers.
type Page struct {
	Jobs []Job
	// Next is the place to go on behind; nil says that this is the end.
	Next *Place
	// Capped says that the page ended because [BrowseCap] places were looked at: Next
	// is the last of them, and Jobs may be few, or none.
	Capped bool
}
