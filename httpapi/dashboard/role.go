package dashboard

import (
	"slices"

	"github.com/penguinmails/rookery/job"
)

// Role says what a [Visitor] may do; each includes those before it.
type Role string

// The roles, and the scopes of the keys that give them.
const (
	RoleViewer   Role = "viewer"   // looks: jobs:read
	RoleOperator Role = "operator" // and acts on jobs, pauses and resumes queues: jobs:write and queues:admin too
	RoleAdmin    Role = "admin"    // and sets windows and reads the audit: admin
)

// roleOf returns the role that scopes give; "": not even to look.
func roleOf(scopes []job.Scope) Role {
	has := func(s job.Scope) bool { return slices.Contains(scopes, s) }
	switch {
	case has(job.ScopeAdmin):
		return RoleAdmin
	case !has(job.ScopeJobsRead):
		return ""
	case has(job.ScopeJobsWrite) && has(job.ScopeQueuesAdmin):
		return RoleOperator
	}
	return RoleViewer
}

// Visitor is who looks.
type Visitor struct {
	Name    string // as the audit has them; never a key
	Role    Role
	Payload bool     // may see payloads
	Queues  []string // the queues whose jobs they may see; none: all

	requestID, ip string // of the action that they ask for
}

// visitorOf returns what a guest is here, or why they may not come in.
func visitorOf(g Guest) (Visitor, error) {
	v := Visitor{Name: g.Name, Role: roleOf(g.Scopes), Queues: g.Queues}
	v.Payload = v.Role == RoleAdmin || slices.Contains(g.Scopes, job.ScopePayloadsRead)
	if v.Role == "" {
		return Visitor{}, &refusal{"You may not look at jobs: your key or account lacks the scope jobs:read."}
	}
	return v, nil
}

// refusal is why somebody whose key is good may not come in.
type refusal struct{ text string }

// Error returns the text.
func (e *refusal) Error() string { return e.text }

// rights are what a visitor may do here.
type rights struct {
	Payload    bool // see payloads
	Operate    bool // cancel, redrive, clone, pause, resume
	Administer bool // set windows
	Audit      bool // read who changed what
	Whole      bool // see what is of all queues together
}

func (d *Dashboard) rights(v Visitor) rights {
	may := rights{Payload: v.Payload, Whole: !v.bound()}
	switch v.Role {
	case RoleAdmin:
		may.Operate, may.Administer, may.Audit = true, true, true
	case RoleOperator:
		may.Operate = true
	case RoleViewer:
	}
	if d.o.ReadOnly {
		may.Operate, may.Administer = false, false
	}
	return may
}

func mayOperate(may rights) bool    { return may.Operate }
func mayAdminister(may rights) bool { return may.Administer }
