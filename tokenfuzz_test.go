package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"
)

// FuzzNumericDate: a date is read as any reader of JSON reads the number, to the
// microsecond, and nothing else is a date.
func FuzzNumericDate(f *testing.F) {
	for _, text := range []string{"0", "-0", "1800000060", "1800000060.25", "18e8", "1e400", "1e-400", "null", `"1"`, "[1]", "NaN", "0x1p4", "01"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) || text != strings.Trim(text, " \t\r\n") {
			return // which parseObject never returns
		}
		seconds, ok := parseDate(json.RawMessage(text))
		isNumber := strings.Contains("-0123456789", text[:1])
		if ok && (!isNumber || seconds < 0 || math.IsInf(seconds, 0)) {
			t.Fatalf("%s is read as %v", text, seconds)
		}
		exact, known := new(big.Float).SetPrec(200).SetString(text) // not of the largest exponents
		if known && exact.Sign() >= 0 && exact.Cmp(big.NewFloat(1e10)) < 0 {
			want, _ := exact.Float64()
			if !ok || math.Abs(seconds-want) > 1e-6 {
				t.Errorf("%s is read as %v, %v; want %v", text, seconds, ok, want)
			}
		}
	})
}

// FuzzToken: only what we signed verifies, and no byte of it can be changed.
func FuzzToken(f *testing.F) {
	s := secretSigner(f)
	good, err := s.createAccessToken(grant{User: User{Username: "alice"}, SessionID: "s"}, testTime, testTime.Add(30*time.Minute))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(mint(hs256, payload(""), testSecret))
	f.Add(mint(`{"alg":"none"}`, payload(""), ""))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		_, err := s.verify(token, testTime)
		if err != nil {
			return
		}
		signed := token[:strings.LastIndexByte(token, '.')]
		mac := hmac.New(sha256.New, []byte(testSecret))
		mac.Write([]byte(signed))
		if token != signed+"."+b64.EncodeToString(mac.Sum(nil)) {
			t.Errorf("%q verifies, and we have not signed it", token)
		}
	})
}

// FuzzSignedToken: whatever two texts somebody with our key signs, the verifier
// does not panic, and takes no claims that a lenient reader would see otherwise.
func FuzzSignedToken(f *testing.F) {
	s := secretSigner(f)
	f.Add(hs256, payload(""))
	f.Add(`{"alg":"HS256","crit":[]}`, payload(`,"aud":[1,"x"]`))
	f.Add(`{"alg":"HS256","kid":"x"}`, `{"sub":"a","exp":1800000001,"SUB":"b"}`)
	f.Fuzz(func(t *testing.T, header, body string) {
		c, err := s.verify(mint(header, body, testSecret), testTime)
		if err != nil {
			return
		}
		var lenient map[string]any
		if err := json.Unmarshal([]byte(body), &lenient); err != nil || lenient["sub"] != c.Subject {
			t.Errorf("%q: subject %q; encoding/json sees %v, %v", body, c.Subject, lenient["sub"], err)
		}
	})
}
