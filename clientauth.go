package main

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// errTwoWays means that a client says twice who it is: it would not be clear whom the request is from
// (RFC 6749 §5.2).
const errTwoWays = formError("the client authenticates in two ways; want HTTP Basic or the form, not both")

// maxBasicSize is how long the credentials of HTTP Basic may be, in bytes of base64. A name of 150
// characters of 4 bytes, percent-encoded, and an API key have about 2,500.
const maxBasicSize = 4 << 10

// basicCredentials returns the user and the password of a request's Authorization headers, or false
// unless there is exactly one and it is good HTTP Basic (RFC 7617 §2).
func basicCredentials(headers []string) (user, password string, ok bool) {
	if len(headers) != 1 {
		return "", "", false
	}
	scheme, encoded := splitAuthorization(headers[0])
	if !strings.EqualFold(scheme, "Basic") || len(encoded) > maxBasicSize || strings.ContainsAny(encoded, "\r\n") { // which package base64 skips
		return "", "", false
	}
	text, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || !utf8.Valid(text) || strings.ContainsFunc(string(text), unicode.IsControl) {
		return "", "", false
	}
	return strings.Cut(string(text), ":")
}

// clientCredentials returns the client_id and the client_secret of a request, from HTTP Basic or
// from the fields of its form (RFC 6749 §2.3.1). It returns errBadClient if either is missing, and
// errTwoWays if the secret is in both. A form may repeat the client_id of HTTP Basic.
func clientCredentials(r *http.Request, f form) (id, secret string, err error) {
	id, secret = f.values["client_id"], f.values["client_secret"]
	headers := r.Header["Authorization"]
	switch {
	case len(headers) > 1:
		return "", "", errBadClient
	case usesBasic(headers) && secret != "":
		return "", "", errTwoWays
	case usesBasic(headers):
		user, password, ok := basicCredentials(headers)
		user, password, decoded := decodeClient(user, password)
		if !ok || !decoded || id != "" && id != user {
			return "", "", errBadClient
		}
		id, secret = user, password
	}
	if id == "" || secret == "" {
		return "", "", errBadClient
	}
	return id, secret, nil
}

// decodeClient decodes an ID and a secret, which clients encode like a form before they put them into
// HTTP Basic (RFC 6749 §2.3.1).
func decodeClient(user, password string) (id, secret string, ok bool) {
	id, err1 := url.QueryUnescape(user)
	secret, err2 := url.QueryUnescape(password)
	return id, secret, err1 == nil && err2 == nil
}
