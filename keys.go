package rookery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/penguinmails/rookery/db"
	"github.com/penguinmails/rookery/httpapi"
	"github.com/penguinmails/rookery/job"
)

// Keys lists the keys of the HTTP API that people made, the oldest first, the revoked
// ones too. It takes what rookery_api may, as do the others here.
func Keys(ctx context.Context, url string) ([]job.APIKey, error) {
	all := []job.APIKey{}
	err := withStore(ctx, url, func(s *db.Store) error {
		const page = 500
		after := ""
		for {
			some, err := s.APIKeys(ctx, after, page)
			all = append(all, some...)
			if err != nil || len(some) < page {
				return err
			}
			after = some[page-1].ID
		}
	})
	slices.SortFunc(all, func(a, b job.APIKey) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return all, err
}

// CreateKey makes a key with k's name, scopes, queues and end, and returns its text,
// which is kept nowhere and cannot be asked for again. What breaks a limit is a
// [*job.FieldError].
func CreateKey(ctx context.Context, url string, k job.APIKey) (text string, made job.APIKey, err error) {
	text, id, hash := job.NewKey()
	k.ID = id
	err = withStore(ctx, url, func(s *db.Store) error {
		made, err = s.CreateAPIKey(ctx, AtTheCommandLine(), k, hash)
		return err
	})
	if err != nil {
		return "", made, err
	}
	return text, made, nil
}

// RevokeKey ends a key for good; false: somebody had already. Every process knows
// within 5 s of it, or, while it does not reach Postgres, within 15 minutes.
func RevokeKey(ctx context.Context, url, id string) (revoked bool, err error) {
	err = withStore(ctx, url, func(s *db.Store) error {
		revoked, err = s.RevokeAPIKey(ctx, AtTheCommandLine(), id)
		return err
	})
	if errors.Is(err, job.ErrNotFound) {
		err = fmt.Errorf("there is no key %q; rookery keys list shows them", id)
	}
	return revoked, err
}

// addKeys gives the API the keys that people made, and what they do with the
// Idempotency-Key.
func (s *Service) addKeys(o *httpapi.Options) {
	o.Rate, o.CertFile, o.KeyFile = s.config.Rate, s.config.TLSCert, s.config.TLSKey
	o.RequireKey, o.KeyStore, o.KeyAdmin, o.Audit, o.Keyed = s.config.RequireKey, s.store, s.store, s.store, s.store
}

// rateOf reads ROOKERY_RATE.
func rateOf(read func(string) string) (float64, error) {
	text := read("ROOKERY_RATE")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || n == 0 || n > 1e6 {
		return 0, errors.New("ROOKERY_RATE must be requests a second, up to 1000000, or below 0 for no limit")
	}
	return n, nil
}

// requireKeyOf reads ROOKERY_REQUIRE_KEY.
func requireKeyOf(read func(string) string) (bool, error) {
	text := read("ROOKERY_REQUIRE_KEY")
	if text == "" {
		return false, nil
	}
	yes, err := strconv.ParseBool(text)
	if err != nil {
		return false, errors.New("ROOKERY_REQUIRE_KEY must be true or false")
	}
	return yes, nil
}
