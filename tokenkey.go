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
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/golang-jwt/jwt/v5"
)

// A tokenKey signs and verifies access tokens by one algorithm.
type tokenKey struct {
	id      string // the kid header of our tokens; empty for a shared secret
	method  jwt.SigningMethod
	private any    // signs; nil if the key only verifies
	public  any    // verifies
	header  string // the encoded JOSE header of tokens that this key signs
	jwk     jwk    // its public part, unless it is a shared secret
}

// minSecretSize is the least length of an HMAC key: RFC 7518 §3.2.
const minSecretSize = 32

// minRSABits is the least length of an RSA key: RFC 7518 §3.3.
const minRSABits = 2048

// newSecretKey returns a key of HS256.
func newSecretKey(secret []byte) tokenKey {
	return newTokenKey("HS256", "", secret, secret)
}

// newPrivateKey returns the key of an asymmetric algorithm that a PEM text holds. It fails if
// the key does not belong to the algorithm or is too weak.
func newPrivateKey(algorithm string, text []byte) (tokenKey, error) {
	key, err := parsePEM(text)
	if err != nil {
		return tokenKey{}, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return tokenKey{}, errors.New("a public key cannot sign; want a private one")
	}
	if err := checkKey(algorithm, signer.Public()); err != nil {
		return tokenKey{}, err
	}
	return newKeyPair(algorithm, signer), nil
}

// newKeyPair returns the key of an algorithm that signs with a private key.
func newKeyPair(algorithm string, private crypto.Signer) tokenKey {
	return newTokenKey(algorithm, thumbprint(private.Public()), private, private.Public())
}

// newPublicKey returns a key that only verifies: the public part of the key in a PEM text, which
// may be a private or a public one. It fails if no algorithm of ours uses such a key, or if it is
// too weak.
func newPublicKey(text []byte) (tokenKey, error) {
	key, err := parsePEM(text)
	if err != nil {
		return tokenKey{}, err
	}
	if private, ok := key.(crypto.Signer); ok {
		key = private.Public()
	}
	algorithm := algorithmOf(key)
	if err := checkKey(algorithm, key); err != nil {
		return tokenKey{}, err
	}
	return newTokenKey(algorithm, thumbprint(key), nil, key), nil
}

func newTokenKey(algorithm, id string, private, public any) tokenKey {
	header := map[string]string{"alg": algorithm, "typ": "JWT"}
	if id != "" {
		header["kid"] = id
	}
	text, _ := json.Marshal(header) // strings can always be encoded
	published := newJWK(public)
	published.ID, published.Algorithm, published.Use = id, algorithm, "sig"
	return tokenKey{id, jwt.GetSigningMethod(algorithm), private, public, b64.EncodeToString(text), published}
}

// holdsPrivateKey reports whether a PEM text holds a private key.
func holdsPrivateKey(text []byte) bool {
	key, err := parsePEM(text)
	_, private := key.(crypto.Signer)
	return err == nil && private
}

// algorithmOf returns the algorithm that a kind of public key is for.
func algorithmOf(key any) string {
	switch key.(type) {
	case *rsa.PublicKey:
		return "RS256"
	case ed25519.PublicKey:
		return "EdDSA"
	}
	return "ES256"
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

// publicAlgorithms are those that other services can verify, all that this server may ever sign
// with. The one that we recommend comes first.
var publicAlgorithms = []string{"ES256", "EdDSA", "RS256"}

// A jwk is a public key in JSON (RFC 7517). The order of the fields is that of RFC 7638 §3.2,
// whose thumbprint has only the required ones.
type jwk struct {
	Curve string `json:"crv,omitempty"`
	E     string `json:"e,omitempty"`
	Type  string `json:"kty"`
	N     string `json:"n,omitempty"`
	X     string `json:"x,omitempty"`
	Y     string `json:"y,omitempty"`

	ID        string `json:"kid,omitempty"`
	Algorithm string `json:"alg,omitempty"`
	Use       string `json:"use,omitempty"`
}

// newJWK returns the required members of a public key that checkKey has accepted.
func newJWK(key any) jwk {
	enc := b64.EncodeToString
	switch key := key.(type) {
	case *rsa.PublicKey:
		return jwk{Type: "RSA", E: enc(big.NewInt(int64(key.E)).Bytes()), N: enc(key.N.Bytes())}
	case ed25519.PublicKey:
		return jwk{Type: "OKP", Curve: "Ed25519", X: enc(key)}
	case *ecdsa.PublicKey:
		point, _ := key.Bytes() // 4 ‖ x ‖ y; checkKey has seen the curve
		return jwk{Type: "EC", Curve: "P-256", X: enc(point[1:33]), Y: enc(point[33:])}
	}
	return jwk{}
}

// thumbprint returns the JWK thumbprint (RFC 7638) of a public key that checkKey has accepted.
// Every replica gives the same kid to the same key.
func thumbprint(key any) string {
	text, _ := json.Marshal(newJWK(key)) // strings can always be encoded
	sum := sha256.Sum256(text)
	return b64.EncodeToString(sum[:])
}

// fingerprint returns a short text that differs between keys, and is the same for every replica.
func (k tokenKey) fingerprint() string {
	if secret, ok := k.private.([]byte); ok {
		return hex.EncodeToString(mac(secret, []byte("latchkey key fingerprint"))[:8])
	}
	return k.id
}

// b64 is the base64url of RFC 7515 §2: no padding, no stray bits at the end.
var b64 = base64.RawURLEncoding.Strict()

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}
