package rookery

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strconv"

	"github.com/penguinmails/rookery/httpapi/dashboard"
	"github.com/penguinmails/rookery/job"
)

// UI says what of the dashboard the API serves at /ui/.
type UI struct {
	Off      bool // nothing
	ReadOnly bool // nothing can be changed there
}

// uiOf reads ROOKERY_UI.
func uiOf(text string) (UI, error) {
	switch text {
	case "", "on":
		return UI{}, nil
	case "off":
		return UI{Off: true}, nil
	case "read-only":
		return UI{ReadOnly: true}, nil
	}
	return UI{}, fmt.Errorf("ROOKERY_UI is %q, must be on, off or read-only", text)
}

// dashboard returns the pages for people.
func (s *Service) dashboard(ctx context.Context) (*dashboard.Dashboard, error) {
	jobs, err := s.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	h := house{jobs}
	return dashboard.New(dashboard.Ports{Jobs: h, House: h, Live: jobs, Operator: jobs, Inserter: jobs, Storage: h}, dashboard.Options{
		Login: loginBy(s.config.APIKeys), SessionKey: sessionKey(s.config.APIKeys),
		ReadOnly: s.config.UI.ReadOnly, Version: Version, Logger: s.log,
	})
}

// loginBy lets in whoever has one of keys, as an admin. All of them are compared, and
// by their hashes: how long it takes says nothing of a key.
func loginBy(keys []string) func(context.Context, string) (dashboard.Visitor, bool) {
	if len(keys) == 0 {
		return nil
	}
	var known [][sha256.Size]byte
	for _, key := range keys {
		known = append(known, sha256.Sum256([]byte(key)))
	}
	return func(_ context.Context, key string) (v dashboard.Visitor, ok bool) {
		sum := sha256.Sum256([]byte(key))
		for i := range known {
			if subtle.ConstantTimeCompare(sum[:], known[i][:]) == 1 {
				v, ok = dashboard.Visitor{Name: "key " + strconv.Itoa(i+1), Role: dashboard.RoleAdmin}, true
			}
		}
		return v, ok
	}
}

// sessionKey is made of the API keys: the processes behind one name have the same, and
// when a key is withdrawn all sessions end.
func sessionKey(keys []string) []byte {
	if len(keys) == 0 {
		return nil
	}
	h := hmac.New(sha256.New, []byte("rookery dashboard sessions"))
	for _, key := range slices.Sorted(slices.Values(keys)) {
		sum := sha256.Sum256([]byte(key))
		h.Write(sum[:])
	}
	return h.Sum(nil)
}

// house is what the dashboard looks at.
type house struct{ *Jobs }

// Ahead is [db.Store.Ahead].
func (h house) Ahead(ctx context.Context, j job.Job) (int64, error) { return h.store.Ahead(ctx, j) }

// CountDead is [db.Store.CountDead].
func (h house) CountDead(ctx context.Context) (int64, error) { return h.store.CountDead(ctx) }

// DeadGroups is [db.Store.DeadGroups].
func (h house) DeadGroups(ctx context.Context) ([]job.DeadGroup, error) {
	return h.store.DeadGroups(ctx)
}

// Queues is [Jobs.Queues] with lower figures where counting stops.
func (h house) Queues(ctx context.Context) ([]job.QueueStats, error) {
	return h.countedQueues(ctx, job.GlanceCap)
}

// Storage returns what jobs take in Postgres, and in Redis if that answers.
func (h house) Storage(ctx context.Context) (job.Storage, error) {
	out, err := h.store.Storage(ctx)
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, redisLimit)
	defer cancel()
	if s, err := h.redis.Inspect(ctx); err == nil {
		out.Redis = &job.RedisFacts{Version: s.Version, EvictionPolicy: s.EvictionPolicy, AppendOnly: s.AppendOnly, Used: s.UsedMemory, Max: s.MaxMemory}
	}
	return out, nil
}
