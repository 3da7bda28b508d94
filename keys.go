package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// A keySet holds the keys that sign and verify tokens.
type keySet struct {
	method  jwt.SigningMethod
	id      string // the kid header of our tokens; empty for a shared secret
	private any    // signs
	public  []any  // verify; the first belongs to private, the others are older
}

// minSecretSize is the least length of an HMAC key: RFC 7518 §3.2.
const minSecretSize = 32

// minRSABits is the least length of an RSA key: RFC 7518 §3.3.
const minRSABits = 2048

// fingerprint returns a short text that differs between keys, and is the same for every replica.
func (k keySet) fingerprint() string {
	if secret, ok := k.private.([]byte); ok {
		return hex.EncodeToString(mac(secret, []byte("latchkey key fingerprint"))[:8])
	}
	return k.id
}

// newSecretKeys returns the keys of HS256.
func newSecretKeys(secret []byte, fallbacks [][]byte) keySet {
	k := keySet{method: jwt.SigningMethodHS256, private: secret, public: []any{secret}}
	for _, older := range fallbacks {
		k.public = append(k.public, older)
	}
	return k
}

// newPrivateKeys returns the keys of an asymmetric algorithm: the private key in a PEM text,
// and older public keys that parsePublic has accepted. It fails if the key does not belong to
// the algorithm or is too weak.
func newPrivateKeys(algorithm string, private []byte, fallbacks []any) (keySet, error) {
	key, err := parsePEM(private)
	if err != nil {
		return keySet{}, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return keySet{}, errors.New("a public key cannot sign; want a private one")
	}
	if err := checkKey(algorithm, signer.Public()); err != nil {
		return keySet{}, err
	}
	return keySet{
		method:  jwt.GetSigningMethod(algorithm),
		id:      thumbprint(signer.Public()),
		private: signer,
		public:  append([]any{signer.Public()}, fallbacks...),
	}, nil
}

// parsePublic returns the public part of the key in a PEM text, which may be a
// private or a public one. It fails if the key is not one for algorithm, or is too weak.
func parsePublic(algorithm string, text []byte) (any, error) {
	key, err := parsePEM(text)
	if err != nil {
		return nil, err
	}
	if private, ok := key.(crypto.Signer); ok {
		key = private.Public()
	}
	return key, checkKey(algorithm, key)
}

// holdsPrivateKey reports whether a PEM text holds a private key.
func holdsPrivateKey(text []byte) bool {
	key, err := parsePEM(text)
	_, private := key.(crypto.Signer)
	return err == nil && private
}

// checkKey returns an error unless key is a public key for algorithm, and strong enough.
func checkKey(algorithm string, key any) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if algorithm == "RS256" && key.N.BitLen() >= minRSABits && key.E >= 3 { // with 1, anybody can sign
			return nil
		}
		return fmt.Errorf("an RSA key of %d bits is not for %s; want %s", key.N.BitLen(), algorithm, keyKinds[algorithm])
	case *ecdsa.PublicKey:
		if algorithm == "ES256" && key.Curve == elliptic.P256() {
			return nil
		}
		return fmt.Errorf("an EC key on %s is not for %s; want %s", key.Curve.Params().Name, algorithm, keyKinds[algorithm])
	case ed25519.PublicKey:
		if algorithm == "EdDSA" {
			return nil
		}
		return fmt.Errorf("an Ed25519 key is not for %s; want %s", algorithm, keyKinds[algorithm])
	}
	return fmt.Errorf("a key of type %T is not for %s; want %s", key, algorithm, keyKinds[algorithm])
}

// keyKinds says which key an algorithm needs (RFC 7518 §3.1, RFC 8037 §3.1).
var keyKinds = map[string]string{
	"RS256": "an RSA key of 2048 bits or more with an exponent of 3 or more",
	"ES256": "an EC key on P-256",
	"EdDSA": "an Ed25519 key",
}

// thumbprint returns the JWK thumbprint (RFC 7638) of a public key that checkKey has accepted.
// Every replica gives the same kid to the same key.
func thumbprint(key any) string {
	enc := b64.EncodeToString
	var jwk string
	switch key := key.(type) {
	case *rsa.PublicKey:
		jwk = fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, enc(big.NewInt(int64(key.E)).Bytes()), enc(key.N.Bytes()))
	case *ecdsa.PublicKey:
		point, _ := key.Bytes() // 4 ‖ x ‖ y; checkKey has seen the curve
		jwk = fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, enc(point[1:33]), enc(point[33:]))
	case ed25519.PublicKey:
		jwk = fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, enc(key))
	}
	sum := sha256.Sum256([]byte(jwk))
	return enc(sum[:])
}

// errBadToken means that an access token is not valid. It does not say why: clients do not
// need to know, and attackers would like to.
var errBadToken = errors.New("access token not good")

// b64 is the base64url of RFC 7515 §2: no padding, no stray bits at the end.
var b64 = base64.RawURLEncoding.Strict()

// maxTokenSize is the maximum length of a token of any kind, in bytes. Ours have about 300.
const maxTokenSize = 4 << 10

// open returns the header, still encoded, and the payload of a compact JWS
// (RFC 7515 §7.1) that one of the keys has signed. Otherwise it returns errBadToken.
func (k keySet) open(token string) (header string, payload []byte, err error) {
	if len(token) > maxTokenSize || strings.ContainsAny(token, "\r\n") { // which package base64 skips
		return "", nil, errBadToken
	}
	header, rest, ok1 := strings.Cut(token, ".")
	body, sig, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.Contains(sig, ".") {
		return "", nil, errBadToken
	}
	signature, err := b64.DecodeString(sig)
	if err != nil || !k.signed(token[:len(token)-len(sig)-1], signature) {
		return "", nil, errBadToken
	}
	payload, err = b64.DecodeString(body)
	if err != nil {
		return "", nil, errBadToken
	}
	return header, payload, nil
}

// signed reports whether one of the keys has signed text. It ignores the token's kid: there
// are few keys, and nothing that an attacker writes may choose one.
func (k keySet) signed(text string, signature []byte) bool {
	for _, key := range k.public {
		if k.method.Verify(text, signature, key) == nil {
			return true
		}
	}
	return false
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}
