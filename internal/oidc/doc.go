// Package oidc says who the holder of a JSON Web Token is, if one issuer signed it for
// us: https://www.rfc-editor.org/rfc/rfc7519, with keys found by
// https://openid.net/specs/openid-connect-discovery-1_0.html.
//
// # The invariant
//
// A token is believed only if a key that the issuer publishes at this time has signed
// it, by RS256, ES256 or EdDSA as that key is made for, and only from its nbf to its exp,
// give or take a minute, for our audience. The token says which key, never where to find
// it nor what kind it is: a public key is never a password (HS256), and "none" is no
// algorithm. A claim that is missing or odd takes rights away and gives none.
//
// The issuer is asked every 15 minutes, and when a token names a key that is not known,
// but at most every 30 s whatever tokens say. While it does not answer, its keys are good
// for a day.
//
// People log in by the authorization code flow ([Login]): the browser that comes back must
// be the one that went (state), the code is worth nothing without what that browser kept
// (PKCE), and the identity token is of this login (nonce) and for this client (aud, azp).
//
// # What it leaves to others
//
// Signatures, and the parsing of tokens and keys, are go-jose's, the exchange of codes is
// x/oauth2's. Nothing is known of who has logged out before exp: tokens should be short.
package oidc
