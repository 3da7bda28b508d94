package main

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strings"

	"golang.org/x/crypto/scrypt"
)

// A scryptHash is a hash by scrypt (RFC 7914).
type scryptHash struct {
	n, r, p int
	salt    string
	key     []byte
	format  func(h scryptHash) string
	of      string
}

// scryptKeySize is the length of the keys of Django and Werkzeug, in bytes.
const scryptKeySize = 64

// newScrypt returns a hash if it is within its limits.
func newScrypt(n, r, p int, salt string, key []byte, keyErr error, of string, format func(scryptHash) string) (passwordHash, error) {
	if keyErr != nil || checkSizes(salt, key) != nil {
		return nil, errBadHash
	}
	if err := checkScryptCost(n, r, p); err != nil {
		return nil, err
	}
	return scryptHash{n, r, p, salt, key, format, of}, nil
}

func checkScryptCost(n, r, p int) error {
	if err := cmp.Or(bound("scrypt r", r, 1, 32), bound("scrypt p", p, 1, 16)); err != nil {
		return err
	}
	if err := bound("scrypt n", n, 2, maxHashMemory/(128*r)); err != nil { // only now: a huge r overflows
		return err
	}
	if err := bound("scrypt work (n·r·p)", n*r*p, 2, 1<<22); err != nil {
		return err
	}
	if bits.OnesCount(uint(n)) != 1 {
		return costError{fmt.Sprintf("scrypt n is %d", n), "a power of two"}
	}
	return nil
}

func (h scryptHash) String() string { return h.format(h) }

func (h scryptHash) scheme() string { return fmt.Sprintf("%sscrypt %d:%d:%d", h.of, h.n, h.r, h.p) }

func (h scryptHash) family() string { return familyScrypt }

func (h scryptHash) verify(password string) (bool, []byte) {
	made, err := scrypt.Key([]byte(password), []byte(h.salt), h.n, h.r, h.p, len(h.key))
	return err == nil && subtle.ConstantTimeCompare(made, h.key) == 1, made
}

func (h scryptHash) memory() int { return 128 * h.n * h.r }

// parsePasslibScrypt reads $scrypt$ln=<log2 n>,r=<r>,p=<p>$<salt>$<key> of passlib.
func parsePasslibScrypt(stored string) (passwordHash, error) {
	f := strings.Split(stored, "$")
	if len(f) != 5 {
		return nil, errBadHash
	}
	cost := strings.Split(f[2], ",")
	for i, name := range []string{"ln=", "r=", "p="} {
		if len(cost) != 3 || !strings.HasPrefix(cost[i], name) {
			return nil, errBadHash
		}
		cost[i] = strings.TrimPrefix(cost[i], name)
	}
	n, err := numbers(cost...)
	if err != nil {
		return nil, err
	}
	ln, r, p := n[0], n[1], n[2]
	if err := bound("scrypt ln", ln, 1, 22); err != nil {
		return nil, err
	}
	salt, err := rawStdBase64.DecodeString(f[3])
	if err != nil {
		return nil, errBadHash
	}
	key, err := rawStdBase64.DecodeString(f[4])
	return newScrypt(1<<ln, r, p, string(salt), key, err, "", func(h scryptHash) string {
		return fmt.Sprintf("$scrypt$ln=%d,r=%d,p=%d$%s$%s", bits.Len(uint(h.n))-1, h.r, h.p,
			rawStdBase64.EncodeToString([]byte(h.salt)), rawStdBase64.EncodeToString(h.key))
	})
}

// parseDjangoScrypt reads scrypt$<n>$<salt>$<r>$<p>$<key> of Django, the key in base64.
func parseDjangoScrypt(stored string) (passwordHash, error) {
	f := strings.Split(stored, "$")
	if len(f) != 6 {
		return nil, errBadHash
	}
	n, err := numbers(f[1], f[3], f[4])
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.Strict().DecodeString(f[5])
	if len(key) != scryptKeySize {
		return nil, errBadHash
	}
	return newScrypt(n[0], n[1], n[2], f[2], key, err, "django ", func(h scryptHash) string {
		return fmt.Sprintf("scrypt$%d$%s$%d$%d$%s", h.n, h.salt, h.r, h.p, base64.StdEncoding.EncodeToString(h.key))
	})
}

// parseWerkzeugScrypt reads scrypt:<n>:<r>:<p>$<salt>$<key> of Werkzeug, the key in hex.
func parseWerkzeugScrypt(stored string) (passwordHash, error) {
	f := strings.Split(stored, "$")
	if len(f) != 3 {
		return nil, errBadHash
	}
	method := strings.Split(f[0], ":")
	if len(method) != 4 {
		return nil, errBadHash
	}
	n, err := numbers(method[1:]...)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(f[2])
	if len(key) != scryptKeySize {
		return nil, errBadHash
	}
	return newScrypt(n[0], n[1], n[2], f[1], key, err, "werkzeug ", func(h scryptHash) string {
		return fmt.Sprintf("scrypt:%d:%d:%d$%s$%x", h.n, h.r, h.p, h.salt, h.key)
	})
}

// A firebaseHash is a hash of Firebase Authentication as GoTrue spells it: the key of scrypt
// encrypts a key of the project by AES-256 in counter mode
// (github.com/firebase/scrypt, README).
type firebaseHash struct {
	version, ln, r, p    int
	separator, signerKey []byte
	salt, key            []byte
}

const firebaseKeySize = 64 // of the signer key, and so of the hash

// parseFirebaseScrypt reads $fbscrypt$v=1,n=<log2 n>,r=<r>,p=<p>,ss=<salt separator>,sk=<signer
// key>$<salt>$<key>, all in base64. Without ss there is no separator.
func parseFirebaseScrypt(stored string) (passwordHash, error) {
	f := strings.Split(stored, "$")
	if len(f) != 5 {
		return nil, errBadHash
	}
	values := make(map[string]string)
	for pair := range strings.SplitSeq(f[2], ",") {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	n, err := numbers(values["v"], values["n"], values["r"], values["p"])
	if err != nil || n[0] != 1 {
		return nil, errBadHash
	}
	if err := bound("scrypt n (a power of two)", n[1], 1, 22); err != nil {
		return nil, err
	}
	if err := checkScryptCost(1<<n[1], n[2], n[3]); err != nil {
		return nil, err
	}
	decoded := make([][]byte, 4)
	for i, text := range []string{values["ss"], values["sk"], f[3], f[4]} {
		if decoded[i], err = base64.StdEncoding.Strict().DecodeString(text); err != nil {
			return nil, errBadHash
		}
	}
	h := firebaseHash{1, n[1], n[2], n[3], decoded[0], decoded[1], decoded[2], decoded[3]}
	if len(h.signerKey) != firebaseKeySize || len(h.key) != firebaseKeySize || len(h.salt) == 0 || len(h.salt)+len(h.separator) > maxSaltSize {
		return nil, errBadHash
	}
	return h, nil
}

func (h firebaseHash) String() string {
	enc := base64.StdEncoding.EncodeToString
	separator := ""
	if len(h.separator) > 0 {
		separator = ",ss=" + enc(h.separator)
	}
	return fmt.Sprintf("$fbscrypt$v=1,n=%d,r=%d,p=%d%s,sk=%s$%s$%s", h.ln, h.r, h.p, separator, enc(h.signerKey), enc(h.salt), enc(h.key))
}

func (h firebaseHash) scheme() string {
	return fmt.Sprintf("firebase scrypt %d:%d:%d", 1<<h.ln, h.r, h.p)
}

func (h firebaseHash) family() string { return familyScrypt }

func (h firebaseHash) verify(password string) (bool, []byte) {
	salt := append(append([]byte{}, h.salt...), h.separator...)
	derived, err := scrypt.Key([]byte(password), salt, 1<<h.ln, h.r, h.p, 32)
	if err != nil {
		return false, nil
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return false, nil
	}
	made := make([]byte, len(h.signerKey))
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(made, h.signerKey)
	return subtle.ConstantTimeCompare(made, h.key) == 1, made
}

func (h firebaseHash) memory() int { return 128 * h.r << h.ln }
