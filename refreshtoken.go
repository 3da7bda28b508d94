package main

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
)

// refreshKeys make and read refresh tokens: the first makes them, all read them.
//
// A refresh token is base64url(session ID ‖ generation ‖ MAC). Whenever its successor is
// asked for, it is the same, and it need not be stored: a stolen store holds no token.
type refreshKeys [][]byte

// errBadRefreshToken means that none of the keys made a refresh token.
var errBadRefreshToken = errors.New("refresh token not valid")

// Sizes of what is in a refresh token, in bytes.
const (
	sessionIDSize  = 16
	generationSize = 8
	macSize        = sha256.Size
)

// newSessionID returns 128 random bits in base64url.
func newSessionID() string { return b64.EncodeToString(randomBytes(sessionIDSize)) }

// newRefreshKeys derives keys from SECRET_KEY and its fallbacks, so that nothing that is
// signed for one purpose is good for the other (RFC 5869 §3.2).
func newRefreshKeys(secret []byte, fallbacks [][]byte) refreshKeys {
	var keys refreshKeys
	for _, s := range append([][]byte{secret}, fallbacks...) {
		key, err := hkdf.Key(sha256.New, s, nil, "latchkey refresh token", macSize)
		if err != nil {
			panic(err) // unreachable: the size is a valid constant
		}
		keys = append(keys, key)
	}
	return keys
}

// token returns the refresh token of a generation of a session. It fails if the ID is
// not one that newSessionID has made.
func (k refreshKeys) token(sessionID string, generation int64) (string, error) {
	id, err := b64.DecodeString(sessionID)
	if err != nil || len(id) != sessionIDSize {
		return "", errors.New("not the ID of a session")
	}
	text := binary.BigEndian.AppendUint64(id, uint64(generation))
	return b64.EncodeToString(append(text, mac(k[0], text)...)), nil
}

// parse returns what a refresh token names, or errBadRefreshToken.
func (k refreshKeys) parse(token string) (sessionID string, generation int64, err error) {
	if len(token) != b64.EncodedLen(sessionIDSize+generationSize+macSize) ||
		strings.ContainsAny(token, "\r\n") { // which package base64 skips
		return "", 0, errBadRefreshToken
	}
	raw, err := b64.DecodeString(token)
	if err != nil {
		return "", 0, errBadRefreshToken
	}
	text, sum := raw[:sessionIDSize+generationSize], raw[sessionIDSize+generationSize:]
	for _, key := range k {
		if hmac.Equal(sum, mac(key, text)) {
			return b64.EncodeToString(text[:sessionIDSize]), int64(binary.BigEndian.Uint64(text[sessionIDSize:])), nil
		}
	}
	return "", 0, errBadRefreshToken
}
