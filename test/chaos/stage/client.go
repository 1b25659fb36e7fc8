package stage

import (
	"os"
	"strconv"
	"strings"
)

// clientEnv is the environment of a client: it knows the servers, each past a link of
// its own, and neither Postgres nor Redis.
func (s *Stage) clientEnv(name string) ([]string, error) {
	o := s.Options
	var servers []string
	for _, p := range s.Processes(Serve) {
		l, err := s.Link(name, Server(p.Name))
		if err != nil {
			return nil, err
		}
		servers = append(servers, p.Name+"=http://"+l.Addr())
	}
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + o.Dir, "TZ=UTC",
		"CHAOS_HISTORY=" + s.History(), "CHAOS_NAME=" + name, "CHAOS_SERVERS=" + strings.Join(servers, ","),
		"CHAOS_QUEUES=" + strings.Join(o.Queues, ","), "CHAOS_SLOTS=" + strconv.Itoa(o.Slots),
	}, nil
}
