package httpapi

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
)

// What a client is made from has the routes of every server.
func TestOpenAPI_AllHasWhatEachServerHas(t *testing.T) {
	t.Parallel()
	text, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var all, one reference
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(withEverything(t).api, &one); err != nil {
		t.Fatal(err)
	}
	for path, methods := range one.Paths {
		if got, want := slices.Sorted(maps.Keys(all.Paths[path])), slices.Sorted(maps.Keys(methods)); !slices.Equal(got, want) {
			t.Errorf("%s has %v, want %v", path, got, want)
		}
	}
	if len(all.Paths[routeKeys]) == 0 || len(all.Paths[routeAudit]) == 0 {
		t.Error("the routes of keys and audit are missing")
	}
}
