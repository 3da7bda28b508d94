package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// madeElsewhere are hashes that other programs made. See testdata/hashes.json.
func madeElsewhere(t testing.TB) (all []struct{ Scheme, Hash, Password string }) {
	t.Helper()
	readVectors(t, "testdata/hashes.json", &all)
	return all
}

// refusedKinds are hashes of other programs that we do not take, and why.
var refusedKinds = map[string]error{
	"passlib bcrypt_sha256": errBadHash,
	"passlib ssha":          errFastHash,
	"better-auth":           errBadHash,
}

// TestHashesOfOthers: people whose hash another program made log in with their password and with
// no other. make test-long tries all of that.
func TestHashesOfOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: some seconds of hashing, because of -short")
	}
	t.Parallel()
	h := newHasher(1000)
	for _, v := range madeElsewhere(t) {
		t.Run(v.Scheme, func(t *testing.T) {
			t.Parallel()
			hash, err := parseHash(v.Hash)
			if want := refusedKinds[v.Scheme]; want != nil {
				if !errors.Is(err, want) {
					t.Errorf("parseHash = %v; want %v", err, want)
				}
				return
			}
			if err != nil || hash.String() != v.Hash {
				t.Fatalf("%v, written again as %v", err, hash)
			}
			if !h.isCheap(v.Hash) && !strings.HasPrefix(v.Hash, "$pbkdf2-sha256$") {
				t.Error("the next login does not replace it")
			}
			if takesLong(hash) {
				return
			}
			if ok, _ := hash.verify(v.Password); !ok {
				t.Error("the right password is refused")
			}
			if os.Getenv("LONG") == "" {
				return
			}
			wrong := strings.ToUpper(v.Password[:min(len(v.Password), 71)])
			if ok, _ := hash.verify(wrong); ok {
				t.Errorf("%q logs in", wrong)
			}
		})
	}
}

// takesLong reports whether only make test-long computes a hash: under the race detector, so many
// rounds of PBKDF2 take seconds.
func takesLong(hash passwordHash) bool {
	p, ok := hash.(pbkdf2Hash)
	return ok && p.count > 200_000 && os.Getenv("LONG") == ""
}

// TestMutilatedHashes: what is a good hash of any kind but for one slip is not taken.
func TestMutilatedHashes(t *testing.T) {
	for _, v := range madeElsewhere(t) {
		if refusedKinds[v.Scheme] != nil {
			continue
		}
		fields := strings.Split(v.Hash, "$")
		last := fields[len(fields)-1]
		for name, bad := range map[string]string{
			"a field more":              v.Hash + "$x",
			"an empty field more":       v.Hash + "$",
			"a newline behind":          v.Hash + "\n",
			"a newline in the key":      v.Hash[:len(v.Hash)-5] + "\n" + v.Hash[len(v.Hash)-5:],
			"a space before":            " " + v.Hash,
			"a NUL behind":              v.Hash + "\x00",
			"spaces for dollars":        strings.ReplaceAll(v.Hash, "$", " "),
			"no key":                    strings.TrimSuffix(v.Hash, last),
			"half a key":                v.Hash[:len(v.Hash)-len(last)/2],
			"a character less":          v.Hash[:len(v.Hash)-1],
			"a character more":          v.Hash + "A",
			"a key of other characters": strings.TrimSuffix(v.Hash, last) + strings.Repeat("é", len(last)/2),
			"its first field alone":     fields[0] + "$" + fields[min(1, len(fields)-1)],
		} {
			isOtherSize := strings.HasPrefix(name, "a character") || name == "half a key"
			if hash, err := parseHash(bad); err == nil && !(isOtherSize && mayHaveOtherKeySize(hash)) {
				t.Errorf("%s, %s: taken as %v", v.Scheme, name, hash)
			}
		}
		prefix := strings.ToUpper(v.Hash[:min(8, len(v.Hash))])
		isPhpass := v.Hash[0] == '$' && v.Hash[2] == '$' // with its cost in the prefix
		if prefix != v.Hash[:len(prefix)] && !isPhpass {
			if _, err := parseHash(prefix + v.Hash[len(prefix):]); err == nil {
				t.Errorf("%s: taken with its prefix in capitals", v.Scheme)
			}
		}
	}
}

// mayHaveOtherKeySize reports whether a kind of hash has keys of more than one size.
func mayHaveOtherKeySize(hash passwordHash) bool {
	_, isArgon2 := hash.(argon2Hash)
	return isArgon2 || strings.HasPrefix(hash.String(), "$scrypt$") ||
		strings.HasPrefix(hash.String(), "$pbkdf2-sha512$")
}

// TestCostsOfHashes: a hash may not ask for more than some seconds and 256 MiB, nor for so
// little that it is damaged.
func TestCostsOfHashes(t *testing.T) {
	const digest = "$Cy9ORNrjf5xXbavWOhOPk.3/kJSJPsOlOjVZSZx4cB2zNz4bBtVGC"
	argon := func(cost string) string {
		return "$argon2id$v=19$" + cost + "$AAECAwQFBgcICQoLDA0ODw$cuWP8A8DPrQmaXx9wEBt8CmIzd3xX3zUBCqSKefXeKA"
	}
	scrypt := func(n, r, p any) string { return fmt.Sprintf("scrypt:%v:%v:%v$salt$%0128x", n, r, p, 1) }
	sk := base64.StdEncoding.EncodeToString(make([]byte, 64))
	firebase := func(cost, sk, key string) string { return "$fbscrypt$" + cost + ",sk=" + sk + "$c2FsdA==$" + key }
	for _, tt := range []struct {
		name, stored, says string // "" if it is taken, "-" if it is broken, "fast", or the words of a costError
	}{
		{"bcrypt 4", "$2b$04" + digest, ""},
		{"bcrypt 14", "$2y$14" + digest, ""},
		{"bcrypt 15", "$2b$15" + digest, "4 to 14"},
		{"bcrypt 31", "$2b$31" + digest, "4 to 14"},
		{"bcrypt 3", "$2b$03" + digest, "4 to 14"},
		{"bcrypt with one digit", "$2b$4" + digest, "-"},
		{"bcrypt with a sign", "$2b$+5" + digest, "-"},
		{"bcrypt 2x", "$2x$05" + digest, "-"},
		{"bcrypt 2", "$2$05" + digest, "-"},
		{"Django's bcrypt 15", "bcrypt$$2b$15" + digest, "4 to 14"},
		{"WordPress's bcrypt 15", "$wp$2y$15" + digest, "4 to 14"},
		{"argon2 of 64 MiB", argon("m=65536,t=3,p=4"), ""},
		{"argon2 of 256 MiB", argon("m=262144,t=4,p=1"), ""},
		{"argon2 of a KiB more", argon("m=262145,t=1,p=1"), "to 262144"},
		{"argon2 of 4 GiB", argon("m=4194304,t=1,p=1"), "to 262144"},
		{"argon2 with much memory in many passes", argon("m=262144,t=5,p=1"), "work"},
		{"argon2 with no pass", argon("m=65536,t=0,p=4"), "1 to 16"},
		{"argon2 with 2³² - 1 passes", argon("m=65536,t=4294967295,p=4"), "1 to 16"},
		{"argon2 with no lane", argon("m=65536,t=3,p=0"), "1 to 16"},
		{"argon2 with 255 lanes", argon("m=65536,t=3,p=255"), "1 to 16"},
		{"argon2 with less memory than lanes need", argon("m=31,t=3,p=4"), "32 to"},
		{"argon2 with just enough", argon("m=32,t=3,p=4"), ""},
		{"argon2 as node-argon2 writes it", argon("m=65536,p=4,t=3"), ""},
		{"argon2 in another order", argon("t=3,m=65536,p=4"), "-"},
		{"argon2 with a cost twice", argon("m=65536,t=3,p=4,t=3"), "-"},
		{"argon2 with a leading zero", argon("m=065536,t=3,p=4"), "-"},
		{"argon2d", strings.Replace(argon("m=65536,t=3,p=4"), "2id", "2d", 1), "-"},
		{"argon2 of version 16", strings.Replace(argon("m=65536,t=3,p=4"), "v=19", "v=16", 1), "-"},
		{"scrypt of 32 MiB", scrypt(32768, 8, 1), ""},
		{"scrypt of 256 MiB", scrypt(262144, 8, 2), ""},
		{"scrypt of more", scrypt(524288, 8, 1), "to 262144"},
		{"scrypt with n that is no power of two", scrypt(3, 8, 1), "power of two"},
		{"scrypt with n of 2³¹", scrypt(int64(1)<<31, 8, 1), "2 to"},
		{"scrypt with n of 1", scrypt(1, 8, 1), "2 to"},
		{"passlib's scrypt with an r that overflows", "$scrypt$ln=14,r=144115188075855872,p=1$NSbEGGNsTSlFSClFSAkhZA$btdFXggKHta43BCeuce9ODRx6wDL7mKRcFAnlsQrL3c", "-"},
		{"passlib's scrypt with an r of 2²⁵", "$scrypt$ln=14,r=33554432,p=1$NSbEGGNsTSlFSClFSAkhZA$btdFXggKHta43BCeuce9ODRx6wDL7mKRcFAnlsQrL3c", "1 to 32"},
		{"Spring's prefix", "{bcrypt}$2b$04" + digest, "-"},
		{"scrypt with r of 2³⁰", scrypt(2, 1<<30, 1), "1 to 32"},
		{"scrypt with no r", scrypt(2, 0, 1), "1 to 32"},
		{"scrypt with many lanes", scrypt(2, 1, 17), "1 to 16"},
		{"scrypt with too much work", scrypt(262144, 8, 3), "work"},
		{"passlib's scrypt with ln of 63", "$scrypt$ln=63,r=8,p=1$NSbEGGNsTSlFSClFSAkhZA$btdFXggKHta43BCeuce9ODRx6wDL7mKRcFAnlsQrL3c", "1 to 22"},
		{"phpass 7", "$P$5" + strings.Repeat("A", 30), "-"},
		{"phpass of 31", "$P$T" + strings.Repeat(".", 30), "7 to 23"},
		{"phpass of 33 characters", "$P$B" + strings.Repeat(".", 29), "-"},
		{"phpass of 35 characters", "$P$B" + strings.Repeat(".", 31), "-"},
		{"phpBB's", "$H$9" + strings.Repeat(".", 30), ""},
		{"firebase", firebase("v=1,n=14,r=8,p=1", sk, sk), ""},
		{"firebase with a separator", "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=" + sk + "$c2FsdA==$" + sk, ""},
		{"firebase with an empty separator", "$fbscrypt$v=1,n=14,r=8,p=1,ss=,sk=" + sk + "$c2FsdA==$" + sk, "-"},
		{"firebase with an empty signer key", firebase("v=1,n=14,r=8,p=1", "", sk), "-"},
		{"firebase with a signer key of one byte", firebase("v=1,n=14,r=8,p=1", "AA==", "AA=="), "-"},
		{"firebase with a hash shorter than its signer key", firebase("v=1,n=14,r=8,p=1", sk, "AAAA"), "-"},
		{"firebase with a signer key of 64 KiB", firebase("v=1,n=14,r=8,p=1", base64.StdEncoding.EncodeToString(make([]byte, 64<<10)), sk), "-"},
		{"firebase of version 2", firebase("v=2,n=14,r=8,p=1", sk, sk), "-"},
		{"firebase with n of 30", firebase("v=1,n=30,r=8,p=1", sk, sk), "1 to 22"},
		{"Django with 10,000,000 rounds", "pbkdf2_sha256$10000000$salt$xTgTk2xfr07akbUM6FAIt9NxC3S70Npy+14XVODfXFw=", ""},
		{"Django with more", "pbkdf2_sha256$10000001$salt$xTgTk2xfr07akbUM6FAIt9NxC3S70Npy+14XVODfXFw=", "1 to 10000000"},
		{"Django without a salt", "pbkdf2_sha256$1000$$xTgTk2xfr07akbUM6FAIt9NxC3S70Npy+14XVODfXFw=", "-"},
		{"Django's SHA-512", "pbkdf2_sha512$1000$salt$xTgTk2xfr07akbUM6FAIt9NxC3S70Npy+14XVODfXFw=", "-"},
		{"passlib's SHA-512 with a key of 32 bytes, as of ASP.NET", "$pbkdf2-sha512$100000$c2FsdA$" + strings.Repeat("A", 43), ""},
		{"passlib's SHA-512 with a key of 31 bytes", "$pbkdf2-sha512$100000$c2FsdA$" + strings.Repeat("A", 42), "-"},
		{"passlib's SHA-256 with a key of 64 bytes", "$pbkdf2-sha256$100000$c2FsdA$" + strings.Repeat("A", 86), "-"},
		{"Werkzeug's SHA-512 with a key of 32 bytes", "pbkdf2:sha512:1000$salt$" + strings.Repeat("00", 32), "-"},
		{"Werkzeug's SHA-512 with 2,000,001 rounds", "pbkdf2:sha512:2000001$salt$" + strings.Repeat("00", 64), "1 to 2000000"},
		{"Werkzeug's key in capitals", "pbkdf2:sha256:1$salt$" + strings.Repeat("AB", 32), "-"},
		{"Django's MD5", "md5$salt$0123456789abcdef0123456789abcdef", "fast"},
		{"Django's SHA-1", "sha1$salt$0123456789abcdef0123456789abcdef01234567", "fast"},
		{"MD5", "0123456789abcdef0123456789abcdef", "fast"},
		{"SHA-256", strings.Repeat("ab", 32), "fast"},
		{"crypt's SHA-512", "$6$rounds=5000$salt$x", "fast"},
		{"LDAP's", "{SSHA}4nEy8X6e3TixTG04IW38INu9SKREqHXu", "fast"},
		{"MySQL's", "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19", "fast"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hash, err := parseHash(tt.stored)
			ok := false
			switch tt.says {
			case "":
				ok = err == nil && hash.String() == tt.stored
			case "-":
				ok = errors.Is(err, errBadHash)
			case "fast":
				ok = errors.Is(err, errFastHash)
			default:
				_, isCost := errors.AsType[costError](err)
				ok = isCost && strings.Contains(err.Error(), tt.says)
			}
			if !ok {
				t.Errorf("%v, %v; want %q", hash, err, tt.says)
			}
		})
	}
}

// TestForeignHashesCostTheSame: every no takes the same work, whatever made the hash, once
// the dearest has been met.
func TestForeignHashesCostTheSame(t *testing.T) {
	h := newHasher(100_000)
	spent := 0
	h.derive = func(password string, salt []byte, rounds int) []byte {
		spent += rounds
		return pbkdf2Key(password, salt, 1)
	}
	bcrypt := "$2b$05$iPPYoZ.hDsAZpfkYr9NOvefx.bWWTTNWcI/RTFM4hZoNm1vlSTYU."
	for range 5 { // the least of several measurements
		h.verifyPassword("wrong", bcrypt, true)
	}
	work := h.work["bcrypt 5"]
	if work < 1000 || work > 1_000_000 {
		t.Fatalf("bcrypt 5 is as much work as %d rounds", work)
	}
	spent = 0
	h.verifyPassword("wrong", bcrypt, true)
	if missing := max(100_000, work) - work; spent < missing || spent > 2*max(missing, 10_000)+work {
		t.Errorf("after %d rounds of bcrypt there are %d more", work, spent)
	}
	spent = 0
	h.verifyPassword("wrong", "", true)
	if spent < max(100_000, work) {
		t.Errorf("nobody costs %d; want at least %d", spent, max(100_000, work))
	}
}

// TestLongPasswords: bcrypt reads 72 bytes, as it did where the hash was made; the hash that
// replaces it reads all of them.
func TestLongPasswords(t *testing.T) {
	h := newHasher(1)
	const bcrypt72 = "$2b$05$iPPYoZ.hDsAZpfkYr9NOvefx.bWWTTNWcI/RTFM4hZoNm1vlSTYU."
	long := strings.Repeat("x", 72)
	if !h.verifies(long, bcrypt72) || !h.verifies(long+"other", bcrypt72) || h.verifies(long[1:], bcrypt72) {
		t.Error("bcrypt does not read just 72 bytes")
	}
	ours := h.hashPassword(long + "other")
	if !h.verifies(long+"other", ours) || h.verifies(long, ours) {
		t.Error("our own hash does not read all")
	}
}

// TestSenderDoesNotChooseTheWork: a password of 60,000 bytes costs as much as a short one,
// whatever made the hash.
func TestSenderDoesNotChooseTheWork(t *testing.T) {
	const phpass = "$P$BBsjY6.GOj8sNDAWeeP3dx5Xj7qYm91"
	work := func(password string) int {
		h := newHasher(1000)
		_, _, work := h.compare(mustParse(t, phpass), password)
		return work
	}
	if short, long := work(strings.Repeat("x", maxPhpassPassword)), work(strings.Repeat("x", 60_000)); long > 2*short+1000 {
		t.Errorf("%d rounds for a short password, %d for a long one", short, long)
	}
	// Of a password that is too long, not even the hash of nothing is the hash.
	nothing := phpassHash{"$P$", 7, "AAAAAAAA", ""}
	_, made := nothing.verify("")
	nothing.key = encodePhpass(made)
	if ok, _ := nothing.verify(strings.Repeat("x", 257)); ok {
		t.Error("a long password is taken for none")
	}
	if ok, _ := nothing.verify(""); !ok {
		t.Error("the hash of nothing does not verify")
	}
}

func mustParse(t testing.TB, stored string) passwordHash {
	t.Helper()
	hash, err := parseHash(stored)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// FuzzStoredHash: what parses is written again to the same byte, and its cost is bounded.
func FuzzStoredHash(f *testing.F) {
	f.Add(newHasher(1).hashPassword("x"))
	f.Add("$pbkdf2-sha256$29000$$cuWP8A8DPrQmaXx9wEBt8CmIzd3xX3zUBCqSKefXeKA")
	f.Add("$pbkdf2-sha256$029000$$")
	for _, v := range madeElsewhere(f) {
		f.Add(v.Hash)
	}
	f.Fuzz(func(t *testing.T, stored string) {
		hash, err := parseHash(stored)
		if err != nil {
			return
		}
		if hash.String() != stored {
			t.Errorf("%q is written again as %q", stored, hash)
		}
		if hash.memory() > maxHashMemory || hash.scheme() == "" || strings.ContainsAny(hash.scheme(), "$\n") {
			t.Errorf("%q: %d bytes, scheme %q", stored, hash.memory(), hash.scheme())
		}
		needsWhole(stored)
	})
}

// BenchmarkFailedLoginOfEach compares the time of a wrong password for every kind of hash, once
// the dearest has been met.
func BenchmarkFailedLoginOfEach(b *testing.B) {
	const attempts = 9
	h := newHasher(600_000)
	all := append(madeElsewhere(b), struct{ Scheme, Hash, Password string }{Scheme: "nobody"})
	for _, v := range all {
		h.verifyPassword("wrong", v.Hash, true)
	}
	for b.Loop() {
		took := make([][]time.Duration, len(all))
		for range attempts {
			for i, v := range all {
				began := time.Now()
				h.verifyPassword("wrong", v.Hash, true)
				took[i] = append(took[i], time.Since(began))
			}
		}
		median := func(i int) float64 {
			slices.Sort(took[i])
			return float64(took[i][attempts/2])
		}
		nobody := median(len(all) - 1)
		least, most := 1.0, 1.0
		for i := range all {
			least, most = min(least, median(i)/nobody), max(most, median(i)/nobody)
		}
		b.ReportMetric(least, "least/nobody")
		b.ReportMetric(most, "most/nobody")
		b.ReportMetric(nobody/1e6, "ms/login")
	}
}
