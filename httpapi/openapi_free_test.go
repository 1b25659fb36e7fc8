package httpapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// An object whose members are free says so: generators of clients take one that names no
// members for one that has none.
func TestOpenAPI_FreeObjectsSaySo(t *testing.T) {
	t.Parallel()
	text, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	freeObjects(t, "", document)
}

func freeObjects(t *testing.T, path string, node any) {
	switch n := node.(type) {
	case []any:
		for i, child := range n {
			freeObjects(t, fmt.Sprint(path, "/", i), child)
		}
	case map[string]any:
		types, _ := n["type"].([]any)
		if n["type"] == "object" || slices.Contains(types, any("object")) {
			if n["properties"] == nil && n["additionalProperties"] == nil {
				t.Errorf("%s is an object with neither properties nor additionalProperties", path)
			}
		}
		for name, child := range n {
			freeObjects(t, path+"/"+name, child)
		}
	}
}
