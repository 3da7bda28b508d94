package main

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxBasicSize is how long the credentials of HTTP Basic may be, in bytes of base64. A name of 150
// characters of 4 bytes, percent-encoded, and an API key have about 2,500.
const maxBasicSize = 4 << 10

// basicCredentials returns the user and the password of a request's Authorization headers, or false
// unless there is exactly one and it is good HTTP Basic (RFC 7617 §2).
func basicCredentials(headers []string) (user, password string, ok bool) {
	if len(headers) != 1 {
		return "", "", false
	}
	scheme, encoded, _ := strings.Cut(strings.Trim(headers[0], " \t"), " ")
	encoded = strings.Trim(encoded, " \t")
	if !strings.EqualFold(scheme, "Basic") || len(encoded) > maxBasicSize || strings.ContainsAny(encoded, "\r\n") { // which package base64 skips
		return "", "", false
	}
	text, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || !utf8.Valid(text) || strings.ContainsFunc(string(text), unicode.IsControl) {
		return "", "", false
	}
	return strings.Cut(string(text), ":")
}

// usesBasic reports whether a request has, or tries to have, credentials of HTTP Basic.
func usesBasic(headers []string) bool {
	for _, header := range headers {
		scheme, _, _ := strings.Cut(strings.Trim(header, " \t"), " ")
		if strings.EqualFold(scheme, "Basic") {
			return true
		}
	}
	return false
}

// errTwoSecrets means that a client uses two ways to prove who it is (invalid_request, RFC 6749 §5.2).
var errTwoSecrets = errors.New("two ways of client authentication")

// clientCredentials returns the client_id and the client_secret of a request, from HTTP Basic or
// from the fields of its form (RFC 6749 §2.3.1). It returns errBadClient if either is missing, and
// errTwoSecrets if a client uses both ways: then it would not be clear whom the request is from. A form
// may repeat the client_id of HTTP Basic.
func clientCredentials(r *http.Request, f form) (id, secret string, err error) {
	id, secret = f.values["client_id"], f.values["client_secret"]
	headers := r.Header["Authorization"]
	if len(headers) > 1 {
		return "", "", errBadClient
	}
	if usesBasic(headers) {
		if secret != "" {
			return "", "", errTwoSecrets
		}
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

// challenge returns the WWW-Authenticate header of a 401 to a request (RFC 9110 §11.6.1).
func challenge(r *http.Request, err error) string {
	if errors.Is(err, errBadClient) && usesBasic(r.Header["Authorization"]) {
		return `Basic realm="latchkey"` // RFC 6749 §5.2
	}
	return "Bearer" // RFC 6750 §3
}
