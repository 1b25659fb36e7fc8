// Package dashboard is the window for people with a browser: what waits, what runs,
// what died and why, and the few things that one can do about it.
//
// It is HTML from the server, so that every page can be read without a script. A
// script of ours and htmx, both from this program, keep the page fresh and add keys.
//
// # The invariant
//
// Whatever stands in a job, a queue's name, an error or a worker's name is text: it is
// escaped by html/template, no template of ours calls anything else safe, and the
// Content-Security-Policy lets nothing run that does not come from a file of this
// program. Nothing changes but by a POST from a page of the same origin, by somebody
// whose role allows it. A payload is shown only when it is asked for, to a role that
// may see it. Every page reads a bounded part of an index.
//
// # The pages
//
//	/ui/                     figures, what needs a person, backlog by queue
//	/ui/jobs?q=…&after=…     the lists, q as in queue:mail kind:welcome* status:dead since:1h
//	/ui/jobs/{id}            one job: its way, its attempts, why it is not running yet
//	/ui/jobs/{id}/payload    the payload as text
//	/ui/operations  /{id}    what was done to all jobs that match, and how far it is
//	/ui/operations/new?…     what would be done, and whether to
//	/ui/queues  /{name}      the queues, and one of them
//	/ui/workers              relays and workers
//	/ui/webhooks             endpoints of push workers
//	/ui/dead                 dead jobs by how they died
//	/ui/figures?…            what the charts draw, as a table; /ui/charts?… as JSON
//	/ui/storage              the ledger, Redis' memory, Postgres' tables
//	/ui/audit?…&before=…     who changed what
//	/ui/about                version, rights, keys
//	/ui/stream               server-sent events: a tick when the figures have changed
//	/ui/static/{hash}/{name} style, scripts
//	/ui/login                an API key for a session of twelve hours at most
//	/ui/login/issuer  /back  a login at an OIDC issuer for one of an hour (signon.go)
//
//	POST /ui/jobs/{id}/cancel|redrive|clone   POST /ui/jobs/bulk
//	POST /ui/operations   POST /ui/operations/{id}/cancel
//	POST /ui/queues/{name}/pause|resume|window   POST /ui/webhooks/{name}/enable|disable
//	POST /ui/login|logout
//
// # Roles
//
//	viewer    jobs:read                looks
//	operator  jobs:write, queues:admin  and cancels, redrives and clones jobs; pauses and resumes queues
//	admin     admin                    and sets windows and reads the audit
//
// Beside them, payloads:read shows payloads. A session ends with its key, within seconds.
// A key that is for some queues sees, and acts on, what is of these: what is of another is
// not there. What is about all of them together (storage, the settings of the process,
// relays, charts without a queue) is not offered, and answers 403.
//
// Read-only takes all but looking from everybody. Without [Options.Door] whoever
// reaches the pages is an admin: the server then has to keep strangers out.
//
// # What it leaves to others
//
// It knows neither Postgres nor Redis but by its ports. It is mounted by httpapi at
// /ui/, whose edge bounds bodies, headers and time.
package dashboard
