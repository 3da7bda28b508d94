package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// wantKey is what a secret key should be.
var wantKey = fmt.Sprintf("want at least %d random bytes, such as the output of: openssl rand -hex 32", minSecretSize)

// minKeyBits is the least entropy that a key's number of different bytes must allow. Of 32
// random hex digits, one key in 10^12 allows less.
const minKeyBits = 80

// exampleKeys are keys from tutorials and documentation. Case and punctuation do not count;
// see plainText.
var exampleKeys = []string{
	"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",                     // FastAPI
	"192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",                     // Flask
	"5791628bb0b13ce0c676dfde280ba245",                                                     // a Flask course
	"404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",                     // a Spring course
	"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CA", // RFC 7515 A.1
}

// placeholders stand in documentation where a key should be. Each has at least 7 letters, so
// that fewer than one in 10^7 random keys contains one.
var placeholders = []string{
	"yoursecret", "256bitsecret", "384bitsecret", "512bitsecret", "256bitslong", "384bitslong", "512bitslong", // jwt.io
	"changeme", "changethis", "changeit", "replaceme", "replacethis", "replacewith", "insertyour", "placeholder", "opensslrand",
}

// inventions are words of keys that people think up. They only cause a warning, because
// servers run with such keys.
var inventions = []string{
	"secretkey", "supersecret", "mysecret", "jwtsecret", "tokensecret", "changein", "updateme",
	"donotuse", "dontuse", "notforproduction", "notsecure", "examplekey", "exampleonly", "samplekey",
	"randomstring", "longstring", "32characters", "32chars", "generatewith", "keyboardcat", "shhhhhh",
	"passwordpassword", "loremipsum",
}

// longestPattern is the length, in bytes, up to which a repeated text is refused as a key.
const longestPattern = 8

// weakness says why a secret key is refused, or returns "". It ignores white space and quotes
// at the ends.
func weakness(secret string) string {
	key := trimEnds(secret)
	period := period(key)
	switch {
	case containsAny(plainText(key), exampleKeys), containsAny(plainText(key), placeholders):
		return "is an example or a placeholder, which everybody knows"
	case isKeyText(key):
		return "is a PEM text or an SSH key, which belongs in PRIVATE_KEY if it is private, and is no secret if it is public"
	case len(secret) < minSecretSize:
		return "has " + count(len(secret), "byte")
	case key == "":
		return "is only white space"
	case period <= longestPattern:
		return fmt.Sprintf("repeats a pattern of %s", count(period, "byte"))
	case float64(len(key))*math.Log2(float64(distinct(key))) < minKeyBits:
		return fmt.Sprintf("has only %s", count(distinct(key), "different byte"))
	}
	return ""
}

// doubt says why others might guess a secret key that is not refused, or returns "".
func doubt(secret string) string {
	period := period(secret)
	switch {
	case containsAny(plainText(secret), inventions):
		return "looks like a text that somebody thought up"
	case period < minSecretSize && 2*period <= len(secret):
		return fmt.Sprintf("repeats a pattern of %s", count(period, "byte"))
	case isSequence(secret):
		return "is a sequence, as the alphabet is"
	}
	return ""
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// containsAny reports whether a plain text contains one of the others.
func containsAny(plain string, others []string) bool {
	return slices.ContainsFunc(others, func(other string) bool { return strings.Contains(plain, plainText(other)) })
}

// plainText returns the ASCII letters of text in lower case, and its digits.
func plainText(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			return c
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		}
		return -1
	}, text)
}

// isKeyText reports whether text is a key of another kind: in PEM, in base64 of that,
// or as SSH writes public ones.
func isKeyText(text string) bool {
	for _, start := range []string{"LS0tLS1CRUdJTi", "ssh-rsa ", "ssh-ed25519 ", "ecdsa-sha2-"} {
		if strings.HasPrefix(text, start) {
			return true
		}
	}
	return strings.Contains(text, "-----BEGIN ")
}

// period returns the length of the shortest text that, repeated and perhaps cut off,
// is text: the end of the Knuth-Morris-Pratt table.
func period(text string) int {
	borders := make([]int, len(text)+1)
	border := 0
	for i := 1; i < len(text); i++ {
		for border > 0 && text[i] != text[border] {
			border = borders[border]
		}
		if text[i] == text[border] {
			border++
		}
		borders[i+1] = border
	}
	return len(text) - borders[len(text)]
}

// isSequence reports whether most bytes of text follow from the one before: by one more,
// one less, or as the same. In random hex digits a fifth do.
func isSequence(text string) bool {
	steps := 0
	for i := 1; i < len(text); i++ {
		if d := int(text[i]) - int(text[i-1]); -1 <= d && d <= 1 {
			steps++
		}
	}
	return 4*steps >= 3*(len(text)-1)
}

func distinct(text string) int {
	var seen [256]bool
	n := 0
	for i := range len(text) {
		if !seen[text[i]] {
			seen[text[i]] = true
			n++
		}
	}
	return n
}
