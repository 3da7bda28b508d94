package main

import (
	"strings"
)

// A hashParser reads the hashes that begin with a prefix.
type hashParser struct {
	prefix string
	parse  func(rest string) (passwordHash, error)
}

// hashParsers are all the hashes that we can verify. The first prefix that fits counts.
var hashParsers = []hashParser{
	{"$pbkdf2-sha256$", parsePasslibPBKDF2},
	{"$pbkdf2-sha512$", parsePasslibPBKDF2},
	{"$pbkdf2$", parsePasslibPBKDF2},
	{"pbkdf2_", parseDjangoPBKDF2},
	{"pbkdf2:", parseWerkzeugPBKDF2},
	{"$2a$", parseBcrypt},
	{"$2b$", parseBcrypt},
	{"$2y$", parseBcrypt},
	{"bcrypt$", parseBcrypt},
	{"bcrypt_sha256$", parseBcrypt},
	{"$wp$2y$", parseBcrypt},
	{"$P$", parsePhpass},
	{"$H$", parsePhpass},
	{"$argon2id$", parseArgon2},
	{"$argon2i$", parseArgon2},
	{"argon2$argon2id$", parseArgon2},
	{"argon2$argon2i$", parseArgon2},
	{"$scrypt$", parsePasslibScrypt},
	{"scrypt$", parseDjangoScrypt},
	{"scrypt:", parseWerkzeugScrypt},
	{"$fbscrypt$", parseFirebaseScrypt},
}

// parseHash reads a stored hash. It does not believe it, because an import or a break-in may
// have written it: work and memory are bounded, keys have their full length so that empty
// never equals empty, and what does not come out again to the byte is refused. The error is
// errBadHash, errFastHash or a costError; it never quotes the hash.
func parseHash(stored string) (passwordHash, error) {
	for _, p := range hashParsers {
		if !strings.HasPrefix(stored, p.prefix) {
			continue
		}
		hash, err := p.parse(stored)
		if err == nil && hash.String() != stored {
			return nil, errBadHash
		}
		return hash, err
	}
	if isFastHash(stored) {
		return nil, errFastHash
	}
	return nil, errBadHash
}

// familyOf returns the family of a stored hash. What does not parse is checked as a decoy.
func familyOf(stored string) string {
	hash, err := parseHash(stored)
	if err != nil {
		return familyDecoy
	}
	return hash.family()
}

// isFastHash reports whether a text looks like a hash of a single pass, or of crypt(3).
func isFastHash(stored string) bool {
	for _, prefix := range []string{"{SHA", "{SSHA", "{MD5", "{SMD5", "{CRYPT", "$1$", "$5$", "$6$", "$apr1$", "sha1$", "md5$", "*"} {
		if strings.HasPrefix(stored, prefix) {
			return true
		}
	}
	switch len(stored) {
	case 32, 40, 64, 128:
		return strings.Trim(strings.ToLower(stored), "0123456789abcdef") == ""
	}
	return false
}
