package main

import (
	"crypto/md5"
	"crypto/subtle"
	"fmt"
	"strings"
)

// Limits on the cost of a phpass hash: two to its power are the rounds of MD5.
const (
	minPhpassCost = 7
	maxPhpassCost = 23
)

// maxPhpassPassword is the longest password, in bytes, that a phpass hash is compared with. The
// work of phpass grows with the password, and the sender of a wrong one must not choose it.
const maxPhpassPassword = 256

// itoa64 is the alphabet of phpass.
const itoa64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// A phpassHash is a portable hash of phpass (openwall.com/phpass): WordPress wrote it before
// 6.8, and phpBB with $H$.
type phpassHash struct {
	prefix string
	cost   int
	salt   string
	key    string // in the base64 of phpass
}

// parsePhpass reads $P$<cost><salt><key>.
func parsePhpass(stored string) (passwordHash, error) {
	const saltAt, keyAt, size = 4, 12, 34
	if len(stored) != size || strings.Trim(stored[saltAt-1:], itoa64) != "" {
		return nil, errBadHash
	}
	h := phpassHash{stored[:3], strings.IndexByte(itoa64, stored[3]), stored[saltAt:keyAt], stored[keyAt:]}
	if strings.IndexByte(itoa64, h.key[len(h.key)-1]) > 3 { // 16 bytes leave two bits for the last
		return nil, errBadHash
	}
	if err := bound("phpass cost", h.cost, minPhpassCost, maxPhpassCost); err != nil {
		return nil, err
	}
	return h, nil
}

func (h phpassHash) String() string { return h.prefix + itoa64[h.cost:h.cost+1] + h.salt + h.key }

func (h phpassHash) scheme() string { return fmt.Sprintf("phpass %d", h.cost) }

func (h phpassHash) family() string { return familyPhpass }

func (h phpassHash) verify(password string) (bool, []byte) {
	tooLong := len(password) > maxPhpassPassword
	if tooLong {
		password = ""
	}
	sum := md5.Sum([]byte(h.salt + password))
	text := append(make([]byte, md5.Size), password...)
	for range 1 << h.cost {
		copy(text, sum[:])
		sum = md5.Sum(text)
	}
	same := subtle.ConstantTimeCompare([]byte(encodePhpass(sum[:])), []byte(h.key)) == 1
	return same && !tooLong, sum[:]
}

// encodePhpass encodes bytes, the lowest bits first.
func encodePhpass(data []byte) string {
	var b strings.Builder
	for len(data) > 0 {
		n := min(3, len(data))
		group := uint(0)
		for i, c := range data[:n] {
			group |= uint(c) << (8 * i)
		}
		for range n + 1 {
			b.WriteByte(itoa64[group&63])
			group >>= 6
		}
		data = data[n:]
	}
	return b.String()
}

func (h phpassHash) memory() int { return 0 }
