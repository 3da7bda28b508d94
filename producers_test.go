package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// A producedHash is a hash that the library of another language has just made.
type producedHash struct{ Scheme, Producer, Version, Hash, Password string }

// producers are the programs that make them from passwords. They are in e2e/producers.
var producers = [][]string{
	{"$HASH_PRODUCERS/python/bin/python", "hashes.py"},
	{"java", "-cp", "$HASH_PRODUCERS/java/*", "Hashes.java"},
	{"node", "hashes.mjs"},
	{"php", "hashes.php"},
	{"ruby", "hashes.rb"},
}

// TestHashesOfProducers makes hashes with the libraries that people come from, at many costs
// and of many passwords. Each is read, written again to the same byte, takes its password and
// refuses another.
func TestHashesOfProducers(t *testing.T) {
	folder := os.Getenv("HASH_PRODUCERS")
	if folder == "" {
		t.Skip("SKIPPED: needs Python, Node, PHP, Ruby and Java; make hashes runs it")
	}
	of := make(map[string][]producedHash)
	for _, producer := range producers {
		for _, made := range produce(t, folder, producer, somePasswords()) {
			of[made.Scheme] = append(of[made.Scheme], made)
		}
	}
	if len(of) < 90 {
		t.Errorf("there are %d schemes; want all", len(of))
	}
	for scheme, all := range of {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			for _, made := range all {
				checkProduced(t, made)
			}
		})
	}
	if os.Getenv("UPDATE") != "" {
		keepNewSchemes(t, of)
	}
}

// produce runs a producer with passwords on its standard input.
func produce(t *testing.T, folder string, producer, passwords []string) (all []producedHash) {
	t.Helper()
	folder, err1 := filepath.Abs(folder)
	input, err2 := json.Marshal(passwords)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	words := make([]string, len(producer))
	for i, word := range producer {
		words[i] = strings.ReplaceAll(word, "$HASH_PRODUCERS", folder)
	}
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Dir, cmd.Stdin = "e2e/producers", bytes.NewReader(input)
	cmd.Env = append(os.Environ(), "HASH_PRODUCERS="+folder)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", words, err, &stderr)
	}
	for lines := json.NewDecoder(bytes.NewReader(out)); ; {
		var made producedHash
		if err := lines.Decode(&made); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatalf("%s: %v", words, err)
		}
		all = append(all, made)
	}
}

// somePasswords returns passwords of each kind, and three that differ from run to run.
func somePasswords() []string {
	all := []string{
		"correct horse ✓ battery",
		"plain",
		"x",
		"  spaces around  ",
		"пароль 密码 🐴",
		"e\u0301 is not \u00e9",
		`quote " apostrophe ' backslash \ dollar $`,
		strings.Repeat("72 bytes", 9),
		strings.Repeat("é", 40),
		strings.Repeat("long ", 50),
	}
	for range 3 {
		all = append(all, randomPassword())
	}
	return all
}

// randomPassword returns up to 90 printable characters, of one to four bytes each.
func randomPassword() string {
	var b strings.Builder
	for range 1 + rand.IntN(90) {
		r := rune(0)
		for !unicode.IsGraphic(r) || unicode.IsSpace(r) {
			r = rand.N[rune](1 << (7 + 2*rand.IntN(6)))
		}
		b.WriteRune(r)
	}
	return b.String()
}

func checkProduced(t *testing.T, made producedHash) {
	t.Helper()
	hash, err := parseHash(made.Hash)
	if err != nil || hash.String() != made.Hash {
		t.Errorf("%+v: %v, written again as %v", made, err, hash)
		return
	}
	if ok, _ := hash.verify(made.Password); !ok {
		t.Errorf("%+v refuses its password", made)
	}
	if ok, _ := hash.verify("no " + made.Password); ok {
		t.Errorf("%+v takes another password", made)
	}
}

// keepNewSchemes adds a hash of every scheme that testdata/hashes.json does not have to it.
func keepNewSchemes(t *testing.T, of map[string][]producedHash) {
	t.Helper()
	type kept struct {
		Scheme   string `json:"scheme"`
		Hash     string `json:"hash"`
		Password string `json:"password"`
	}
	var all []kept
	for _, v := range madeElsewhere(t) {
		all = append(all, kept(v))
		delete(of, v.Scheme)
	}
	for _, scheme := range slices.Sorted(maps.Keys(of)) {
		all = append(all, kept{scheme, of[scheme][0].Hash, of[scheme][0].Password})
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	err1 := enc.Encode(all)
	err2 := os.WriteFile("testdata/hashes.json", text.Bytes(), 0o644)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
}

// TestFirebaseHashes: Firebase cannot be run here. Its README and the tests of GoTrue have
// these hashes (github.com/firebase/scrypt, github.com/supabase/auth).
func TestFirebaseHashes(t *testing.T) {
	for password, stored := range map[string]string{
		"user1password": "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==," +
			"sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==" +
			"$42xEC+ixf3L2lw==" +
			"$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
		"mytestpassword": "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==," +
			"sk=ou9tdYTGyYm8kuR6Dt0Bp0kDuAYoXrK16mbZO4yGwAn3oLspjnN0/c41v8xZnO1n14J3MjKj1b2g6AUCAlFwMw==" +
			"$C0sHCg9ek77hsg==" +
			"$zKVTMvnWVw5BBOZNUdnsalx4c4c7y/w7IS5p6Ut2+CfEFFlz37J9huyQfov4iizN8dbjvEJlM5tQaJP84+hfTw==",
	} {
		checkProduced(t, producedHash{"firebase scrypt", "firebase", "1", stored, password})
	}
}
