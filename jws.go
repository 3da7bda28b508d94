package main

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// errBadToken means that an access token is not valid. It does not say why: clients do not
	// need to know, and attackers would like to.
	errBadToken = errors.New("access token not good")

	// errUnknownKey is errBadToken for a token whose kid names no key of the set: another
	// replica may have made the key a moment ago.
	errUnknownKey = fmt.Errorf("%w: unknown key", errBadToken)
)

// maxTokenSize is the maximum length of a token of any kind, in bytes. Ours have about 300.
const maxTokenSize = 4 << 10

// open returns the payload of a compact JWS (RFC 7515 §7.1), and the key that has signed it.
// Otherwise it returns errBadToken or errUnknownKey. It does not check whether the key has
// expired.
//
// A key has one algorithm, and the token must name it: nothing that an attacker writes can make
// a key verify by another one (RFC 8725 §3.1). The kid does not choose the key: there are few, so all
// of the right algorithm are tried.
func (s keySet) open(token string) (payload []byte, by timedKey, err error) {
	if len(token) > maxTokenSize || strings.ContainsAny(token, "\r\n") { // which package base64 skips
		return nil, timedKey{}, errBadToken
	}
	header, rest, ok1 := strings.Cut(token, ".")
	body, sig, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.Contains(sig, ".") {
		return nil, timedKey{}, errBadToken
	}
	signature, err := b64.DecodeString(sig)
	if err != nil {
		return nil, timedKey{}, errBadToken
	}
	by, err = s.signerOf(header, token[:len(token)-len(sig)-1], signature)
	if err != nil {
		return nil, timedKey{}, err
	}
	payload, err = b64.DecodeString(body)
	if err != nil {
		return nil, timedKey{}, errBadToken
	}
	return payload, by, nil
}

// signerOf returns the key that has signed text, which begins with an encoded JOSE header.
func (s keySet) signerOf(header, text string, signature []byte) (timedKey, error) {
	for _, k := range s {
		if k.header == header && k.method.Verify(text, signature, k.public) == nil {
			return k, nil
		}
	}
	algorithm, id, ok := parseHeader(header)
	if !ok {
		return timedKey{}, errBadToken
	}
	for _, k := range s {
		if k.method.Alg() == algorithm && k.header != header && k.method.Verify(text, signature, k.public) == nil {
			return k, nil
		}
	}
	if id != "" && !s.has(id) {
		return timedKey{}, errUnknownKey
	}
	return timedKey{}, errBadToken
}

// parseHeader reads the JOSE header of a token that another program may have made with our key.
func parseHeader(encoded string) (algorithm, id string, ok bool) {
	header, err := b64.DecodeString(encoded)
	if err != nil {
		return "", "", false
	}
	members, err := parseObject(header)
	if err != nil {
		return "", "", false
	}
	for _, m := range members {
		text, isText := parseString(m.value)
		switch m.name {
		case "alg":
			algorithm = text
		case "kid":
			if id = text; !isText {
				return "", "", false
			}
		case "typ": // RFC 8725 §3.11
			if !strings.EqualFold(text, "JWT") && !strings.EqualFold(text, "at+jwt") {
				return "", "", false
			}
		case "crit", "b64", "zip", "enc": // they would change what the rest means
			return "", "", false
		}
	}
	return algorithm, id, true
}
