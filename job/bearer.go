package job

// Bearer is who a token of somebody else's (OIDC) says that its holder is.
type Bearer struct {
	Subject string   // as the issuer has them
	Scopes  []Scope  // what they may do; none: nothing
	Queues  []string // the queues that they may see, as [APIKey] has them; none: all
}

// TokenError says why a token is refused, without a word of it.
type TokenError struct{ Problem string }

// Error returns the sentence.
func (e *TokenError) Error() string { return "the token " + e.Problem }
