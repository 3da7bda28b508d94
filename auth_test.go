package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// testSecret is the key that the recorded answers and tokens were made with.
const testSecret = "5f2b1c7e9a0d4c3b8e6f7a1d2c3b4a5968778695a4b3c2d1e0f1a2b3c4d5e6f7"

var testTime = time.Unix(1_800_000_000, 0)

// skip skips a test for want of something, and says so even without -v. Where
// everything is there, CI=true makes it a failure.
func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("nothing may be skipped here: " + why)
	}
	fmt.Fprintf(os.Stderr, "SKIP: %s: %s\n", t.Name(), why)
	t.SkipNow()
}

// repeated returns how often to repeat what depends on chance: n times in make test-long, and
// a tenth of that otherwise, but at least five times.
func repeated(n int) int {
	if os.Getenv("LONG") == "" {
		return max(5, n/10)
	}
	return n
}

// readVectors decodes a JSON file into v, or skips the test if it is not there.
func readVectors(t testing.TB, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		skip(t, "there are no test vectors at "+path)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}

func TestPasswordHash(t *testing.T) {
	h := newHasher(1000)
	for _, password := range []string{"correct horse battery", "", " ", "nul\x00inside", "비밀번호", strings.Repeat("x", 4096)} {
		stored := h.hashPassword(password)
		if !strings.HasPrefix(stored, "$pbkdf2-sha256$1000$") {
			t.Errorf("stored = %q", stored)
		}
		if !h.verifies(password, stored) {
			t.Errorf("%.20q does not verify against its own hash", password)
		}
		// Not password + "\x00": HMAC pads its key with zeros (RFC 2104 §2).
		for _, wrong := range []string{password + "x", password + "\x00x", strings.ToUpper(password) + " ", "x" + password} {
			if h.verifies(wrong, stored) {
				t.Errorf("%.20q verifies against the hash of %.20q", wrong, password)
			}
		}
	}
	if h.verifies("", "") || h.verifies("x", "") {
		t.Error("a user who does not exist can log in")
	}
}

func TestSaltsDiffer(t *testing.T) {
	h := newHasher(1)
	seen := make(map[string]bool)
	for range 10_000 {
		hash, err := parseHash(h.hashPassword("the same"))
		if err != nil {
			t.Fatal(err)
		}
		salt := hash.(pbkdf2Hash).salt
		if len(salt) != saltSize || seen[salt] {
			t.Fatalf("salt %x", salt)
		}
		seen[salt] = true
	}
}

func TestStoredHashes(t *testing.T) {
	const salt, key = "AAECAwQFBgcICQoLDA0ODw", "cuWP8A8DPrQmaXx9wEBt8CmIzd3xX3zUBCqSKefXeKA"
	for _, tt := range []struct {
		name, stored string
		ok           bool
	}{
		{"as passlib writes it", "$pbkdf2-sha256$29000$" + salt + "$" + key, true},
		{"one round", "$pbkdf2-sha256$1$" + salt + "$" + key, true},
		{"as many rounds as may be", "$pbkdf2-sha256$10000000$" + salt + "$" + key, true},
		{"a round more", "$pbkdf2-sha256$10000001$" + salt + "$" + key, false},
		{"no salt", "$pbkdf2-sha256$29000$$" + key, true},
		{"a salt of 1024 bytes", "$pbkdf2-sha256$1$" + ab64.EncodeToString(make([]byte, 1024)) + "$" + key, true},
		{"a salt of 1025 bytes", "$pbkdf2-sha256$1$" + ab64.EncodeToString(make([]byte, 1025)) + "$" + key, false},
		{"no rounds", "$pbkdf2-sha256$$" + salt + "$" + key, false},
		{"zero rounds", "$pbkdf2-sha256$0$" + salt + "$" + key, false},
		{"rounds below zero", "$pbkdf2-sha256$-1$" + salt + "$" + key, false},
		{"rounds with a plus", "$pbkdf2-sha256$+1212$" + salt + "$" + key, false},
		{"rounds with a leading zero", "$pbkdf2-sha256$01212$" + salt + "$" + key, false},
		{"rounds behind a space", "$pbkdf2-sha256$ 1212$" + salt + "$" + key, false},
		{"rounds before a space", "$pbkdf2-sha256$1212 $" + salt + "$" + key, false},
		{"rounds with an exponent", "$pbkdf2-sha256$1e3$" + salt + "$" + key, false},
		{"rounds with an underscore", "$pbkdf2-sha256$1_212$" + salt + "$" + key, false},
		{"rounds in Arabic digits", "$pbkdf2-sha256$٣$" + salt + "$" + key, false},
		{"rounds beyond 32 bits", "$pbkdf2-sha256$4294967296$" + salt + "$" + key, false},
		{"rounds beyond 64 bits", "$pbkdf2-sha256$99999999999999999999$" + salt + "$" + key, false},
		{"no key", "$pbkdf2-sha256$29000$" + salt, false},
		{"an empty key", "$pbkdf2-sha256$29000$" + salt + "$", false},
		{"a key of 31 bytes", "$pbkdf2-sha256$29000$" + salt + "$" + ab64.EncodeToString(make([]byte, 31)), false},
		{"a key of 33 bytes", "$pbkdf2-sha256$29000$" + salt + "$" + ab64.EncodeToString(make([]byte, 33)), false},
		{"a key with spare bits", "$pbkdf2-sha256$29000$" + salt + "$" + key[:42] + "B", false},
		{"a plus for the period", "$pbkdf2-sha256$29000$" + salt + "$+" + key[1:], false},
		{"padding", "$pbkdf2-sha256$29000$" + salt + "==$" + key + "=", false},
		{"a newline behind", "$pbkdf2-sha256$29000$" + salt + "$" + key + "\n", false},
		{"a newline in the salt", "$pbkdf2-sha256$29000$AAEC\nAwQFBgcICQoLDA0ODw$" + key, false},
		{"a field more", "$pbkdf2-sha256$29000$" + salt + "$" + key + "$", false},
		{"a prefix in capitals", "$PBKDF2-SHA256$29000$" + salt + "$" + key, false},
		{"SHA-1", "$pbkdf2$29000$" + salt + "$" + key, false},
		{"SHA-512 with half a key", "$pbkdf2-sha512$29000$" + salt + "$" + key, true},
		{"Django's", "pbkdf2_sha256$29000$salt$" + key, false},
		{"bcrypt cut short", "$2b$04$2JBvE9YP5iC3OP7PvqZjUuHBWxO6MQ.lDwrlYgBYOEp3YESoT2id", false},
		{"the password itself", "secretpassword", false},
		{"a star, as for locked accounts", "*", false},
		{"an exclamation mark", "!", false},
		{"nothing", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hash, err := parseHash(tt.stored)
			if (err == nil) != tt.ok {
				t.Fatalf("parseHash = %v, want ok %v", err, tt.ok)
			}
			if tt.ok && hash.String() != tt.stored {
				t.Errorf("it is written again as %q", hash)
			}
			if !tt.ok && newHasher(1).verifies("secretpassword", tt.stored) {
				t.Error("it lets somebody in")
			}
		})
	}
}

func TestPasslibHashes(t *testing.T) {
	t.Parallel()
	var vectors struct {
		Hashes []struct {
			Format, Password, Hash, Why string
			Verifies                    bool
		}
	}
	readVectors(t, "testdata/passlib.json", &vectors)
	tried := 0
	for _, v := range vectors.Hashes {
		if v.Format != "passlib pbkdf2_sha256" {
			continue
		}
		tried++
		if hash, err := parseHash(v.Hash); err == nil && takesLong(hash) {
			continue
		}
		if got := newHasher(1).verifies(v.Password, v.Hash); got != v.Verifies {
			t.Errorf("%.60s (%s): verifies %v, want %v", v.Hash, v.Why, got, v.Verifies)
		}
	}
	if tried == 0 {
		t.Error("no hash of passlib's tried")
	}
}

func TestWycheproofPBKDF2(t *testing.T) {
	t.Parallel()
	var vectors struct {
		TestGroups []struct {
			Tests []struct {
				TcID, IterationCount, DkLen int
				Password, Salt, Dk          string
			}
		}
	}
	readVectors(t, "../shared/wycheproof/pbkdf2_hmacsha256_test.json", &vectors)
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, group := range vectors.TestGroups {
		for _, tt := range group.Tests {
			// Our key is the first block of output; the later ones do not change it.
			got := pbkdf2Key(string(unhex(tt.Password)), unhex(tt.Salt), tt.IterationCount)
			n := min(keySize, tt.DkLen)
			if want := unhex(tt.Dk); string(got[:n]) != string(want[:n]) {
				t.Errorf("%d: key = %x, want %x", tt.TcID, got[:n], want[:n])
			}
		}
	}
}
