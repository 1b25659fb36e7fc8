package oidc

import (
	"encoding/json"
	"fmt"
	"strings"
)

const (
	maxClaim      = 200 // bytes of a claim's name
	maxClaimDepth = 8
)

// claim is where something stands in a token: the name of a claim, or the names on the way
// to a member of its objects.
type claim []string

// parseClaim reads a claim's name. Dots lead into objects, as in realm_access.roles; \. is a
// dot of a name. A name with a slash in it is one name, for those are URLs:
// https://openid.net/specs/openid-connect-core-1_0.html#AdditionalClaims.
func parseClaim(text string) (claim, error) {
	if len(text) > maxClaim {
		return nil, fmt.Errorf("a claim's name has %d bytes, may have %d", len(text), maxClaim)
	}
	if strings.Contains(text, "/") {
		return claim{text}, nil
	}
	const dot = "\x00"
	if strings.Contains(text, dot) {
		return nil, fmt.Errorf("%q is no name of a claim", text)
	}
	var c claim
	for name := range strings.SplitSeq(strings.ReplaceAll(text, `\.`, dot), ".") {
		if name == "" {
			return nil, fmt.Errorf("%q is no name of a claim, nor names with dots between, as in realm_access.roles", text)
		}
		c = append(c, strings.ReplaceAll(name, dot, "."))
	}
	if len(c) > maxClaimDepth {
		return nil, fmt.Errorf("%q leads %d names deep, may lead %d", text, len(c), maxClaimDepth)
	}
	return c, nil
}

// in returns what stands there, nil when it is missing. ok is false when the way leads
// through something that is no object.
func (c claim) in(claims map[string]json.RawMessage) (value json.RawMessage, ok bool) {
	for i, name := range c {
		value = claims[name]
		if i == len(c)-1 || value == nil {
			return value, true
		}
		claims = nil // else Unmarshal adds to it
		if json.Unmarshal(value, &claims) != nil || claims == nil {
			return nil, false
		}
	}
	return nil, true
}
