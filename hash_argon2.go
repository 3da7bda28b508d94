package main

import (
	"crypto/subtle"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// An argon2Hash is a hash by Argon2 1.3 (RFC 9106) in the PHC spelling.
type argon2Hash struct {
	before    string // "argon2", which Django writes before it
	kind      string // argon2id or argon2i
	kib       int
	passes    int
	lanes     int
	lanesLast bool // false: p stands before t, as node-argon2 writes it
	salt, key []byte
}

// parseArgon2 reads $argon2id$v=19$m=<KiB>,t=<passes>,p=<lanes>$<salt>$<key>.
func parseArgon2(stored string) (passwordHash, error) {
	f := strings.Split(stored, "$")
	if len(f) != 6 || f[2] != "v=19" {
		return nil, errBadHash
	}
	h := argon2Hash{before: f[0], kind: f[1]}
	if err := h.parseCost(f[3]); err != nil {
		return nil, err
	}
	salt, err1 := rawStdBase64.DecodeString(f[4])
	key, err2 := rawStdBase64.DecodeString(f[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || checkSizes(string(salt), key) != nil {
		return nil, errBadHash
	}
	h.salt, h.key = salt, key
	return h, nil
}

func (h *argon2Hash) parseCost(text string) error {
	names := [3]string{"m=", "t=", "p="}
	f := strings.Split(text, ",")
	if len(f) != 3 {
		return errBadHash
	}
	if h.lanesLast = !strings.HasPrefix(f[1], "p="); !h.lanesLast {
		names[1], names[2] = names[2], names[1]
	}
	for i, name := range names {
		rest, ok := strings.CutPrefix(f[i], name)
		if !ok {
			return errBadHash
		}
		f[i] = rest
	}
	n, err := numbers(f...)
	if err != nil {
		return err
	}
	h.kib, h.passes, h.lanes = n[0], n[1], n[2]
	if !h.lanesLast {
		h.passes, h.lanes = n[2], n[1]
	}
	for _, err := range []error{
		bound("argon2 passes (t)", h.passes, 1, 16),
		bound("argon2 lanes (p)", h.lanes, 1, 16),
		bound("argon2 memory (m, in KiB)", h.kib, 8*min(h.lanes, 16), maxHashMemory>>10),
	} {
		if err != nil {
			return err
		}
	}
	return bound("argon2 work (t·m, in KiB)", h.passes*h.kib, 1, 1<<20)
}

func (h argon2Hash) String() string {
	cost := fmt.Sprintf("m=%d,t=%d,p=%d", h.kib, h.passes, h.lanes)
	if !h.lanesLast {
		cost = fmt.Sprintf("m=%d,p=%d,t=%d", h.kib, h.lanes, h.passes)
	}
	return fmt.Sprintf("%s$%s$v=19$%s$%s$%s", h.before, h.kind, cost, rawStdBase64.EncodeToString(h.salt), rawStdBase64.EncodeToString(h.key))
}

func (h argon2Hash) scheme() string {
	of := ""
	if h.before != "" {
		of = "django "
	}
	return fmt.Sprintf("%s%s m=%d,t=%d,p=%d", of, h.kind, h.kib, h.passes, h.lanes)
}

func (h argon2Hash) family() string { return familyArgon2 }

func (h argon2Hash) verify(password string) (bool, []byte) {
	derive := argon2.IDKey
	if h.kind == "argon2i" {
		derive = argon2.Key
	}
	made := derive([]byte(password), h.salt, uint32(h.passes), uint32(h.kib), uint8(h.lanes), uint32(len(h.key)))
	return subtle.ConstantTimeCompare(made, h.key) == 1, made
}

func (h argon2Hash) memory() int { return h.kib << 10 }
