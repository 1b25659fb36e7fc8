package rookery

import (
	"fmt"
	"time"

	"github.com/penguinmails/rookery/relay"
)

// forEver is what a Config says for "never delete".
const forEver = -1

// retentionOf reads how long finished jobs are kept: 0 means for ever, and nothing
// the default, which is the Config's own 0.
func retentionOf(read func(string) string, name string) (time.Duration, error) {
	text := read(name)
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	switch {
	case err == nil && d == 0:
		return forEver, nil
	case err != nil || d < time.Minute || d > relay.MaxRetention:
		return 0, fmt.Errorf("%s is %q, must be a duration from 1m to %dh (10 years), or 0 to keep them for ever", name, text, int(relay.MaxRetention.Hours()))
	}
	return d, nil
}
