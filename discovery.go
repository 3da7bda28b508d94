package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// readJWKS answers with the public keys that tokens are or will be verified with (RFC 7517 §5).
func (a *api) readJWKS(_ context.Context, w http.ResponseWriter, _ *http.Request, _ client) error {
	published, err := a.accounts.tokens.published(a.accounts.now())
	if err != nil {
		return err
	}
	if published.keys == 0 {
		return errNoPublicKey
	}
	sendPublic(w, published.jwks)
	return nil
}

// readMetadata answers with what OAuth clients need to know of the server (RFC 8414). The server is no
// OpenID provider; openid-configuration is served because some clients look only there.
func (a *api) readMetadata(_ context.Context, w http.ResponseWriter, r *http.Request, _ client) error {
	issuer := a.accounts.tokens.issuer
	if !isIssuerURL(issuer) {
		return errNoIssuer
	}
	if path := r.PathValue("path"); path != "" && path != issuerPath(issuer) {
		return errNotFound
	}
	published, err := a.accounts.tokens.published(a.accounts.now())
	if err != nil {
		return err
	}
	body, err := json.Marshal(newMetadata(issuer, published.keys > 0))
	if err != nil {
		return err
	}
	sendPublic(w, body)
	return nil
}

// sendPublic answers with JSON that anybody may keep for ten minutes. Hasura reads the header by
// hand, so it has nothing more in it.
func sendPublic(w http.ResponseWriter, body []byte) {
	w.Header()["Content-Type"] = jsonContentType
	w.Header()["Cache-Control"] = tenMinutes
	w.Write(body)
}

var tenMinutes = []string{"public, max-age=600"}

// metadata is the document of RFC 8414 §2. SubjectTypes and Algorithms are OpenID's: go-oidc learns the
// algorithms from them.
type metadata struct {
	Issuer                string   `json:"issuer"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKSURI               string   `json:"jwks_uri,omitempty"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	GrantTypes            []string `json:"grant_types_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	TokenAuth             []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuth        []string `json:"revocation_endpoint_auth_methods_supported"`
	IntrospectionAuth     []string `json:"introspection_endpoint_auth_methods_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	Algorithms            []string `json:"id_token_signing_alg_values_supported"`
	Documentation         string   `json:"service_documentation"`
}

// newMetadata returns the document of a server. Every URL begins with the issuer: nothing that a
// request says is in it.
func newMetadata(issuer string, hasKeys bool) metadata {
	base := strings.TrimSuffix(issuer, "/")
	m := metadata{
		Issuer:                issuer,
		TokenEndpoint:         base + "/token",
		RevocationEndpoint:    base + "/revoke",
		IntrospectionEndpoint: base + "/introspect",
		GrantTypes:            []string{"password", "refresh_token", "client_credentials"},
		ResponseTypes:         []string{"none"}, // there is no authorization endpoint; some readers want a value
		TokenAuth:             []string{"none", "client_secret_basic", "client_secret_post"},
		RevocationAuth:        []string{"none"},
		IntrospectionAuth:     []string{"client_secret_basic", "client_secret_post"},
		SubjectTypes:          []string{"public"},
		Algorithms:            publicAlgorithms, // go-oidc reads them once, before a change of ALGORITHM
		Documentation:         base + "/docs",
	}
	if hasKeys {
		m.JWKSURI = base + "/.well-known/jwks.json"
	}
	return m
}

// issuerPath returns the path of an issuer. RFC 8414 §3.1 appends it to the path of the metadata.
func issuerPath(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return strings.Trim(u.Path, "/")
}

// isIssuerURL reports whether services can find a server by its iss claim: RFC 8414 §2 wants an
// https URL without query and fragment. http is for development, on one machine.
func isIssuerURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" || u.User != nil || strings.ContainsAny(text, "?#") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())
}
