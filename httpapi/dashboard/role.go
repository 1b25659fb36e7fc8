package dashboard

// Role says what a [Visitor] may do; each includes those before it.
type Role string

// The roles.
const (
	RoleViewer   Role = "viewer"   // looks; sees no payload
	RoleOperator Role = "operator" // and sees payloads; acts on jobs; pauses and resumes queues
	RoleAdmin    Role = "admin"    // and sets windows
)

// Visitor is who looks.
type Visitor struct {
	Name string // shown and logged; never a key
	Role Role
}

// rights are what a visitor may do here.
type rights struct {
	Payload    bool // see payloads
	Operate    bool // cancel, redrive, clone, pause, resume
	Administer bool // set windows
}

func (d *Dashboard) rights(v Visitor) rights {
	var may rights
	switch v.Role {
	case RoleAdmin:
		may = rights{Payload: true, Operate: true, Administer: true}
	case RoleOperator:
		may = rights{Payload: true, Operate: true}
	case RoleViewer:
	}
	if d.o.ReadOnly {
		may.Operate, may.Administer = false, false
	}
	return may
}

func mayOperate(may rights) bool    { return may.Operate }
func mayAdminister(may rights) bool { return may.Administer }
