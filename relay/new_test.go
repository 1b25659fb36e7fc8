package relay_test

import (
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery/relay"
)

func TestNew_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, lease := range []time.Duration{-time.Second, 1} { // two thirds of the latter are no pause between two audits
		if _, err := relay.New(&diary{}, newFakeWindow(), deaf{}, relay.Options{Lease: lease}); err == nil || !strings.Contains(err.Error(), "lease") {
			t.Errorf("New with a lease of %s = %v, want an error that names it", lease, err)
		}
	}
}
