package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
)

// curveP256 is what openssl ecparam -name prime256v1 -genkey writes before the key.
const curveP256 = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"

// pemForms are the ways in which people have a PEM text in an environment variable, a
// file of secrets or a YAML document.
var pemForms = []struct {
	name string
	make func(text string) string
}{
	{"as it is", func(text string) string { return text }},
	{"without the last line end", func(text string) string { return strings.TrimSpace(text) }},
	{`with \n as two characters`, func(text string) string { return strings.ReplaceAll(text, "\n", `\n`) }},
	{`with \r\n as four characters`, func(text string) string { return strings.ReplaceAll(text, "\n", `\r\n`) }},
	{`with \\n, escaped twice`, func(text string) string { return strings.ReplaceAll(text, "\n", `\\n`) }},
	{`with \n before each line end`, func(text string) string { return strings.ReplaceAll(text, "\n", "\\n\n") }},
	{"with CR LF", func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }},
	{"with CR alone", func(text string) string { return strings.ReplaceAll(text, "\n", "\r") }},
	{"with a space for each line end", func(text string) string { return strings.ReplaceAll(text, "\n", " ") }},
	{"with nothing for each line end", func(text string) string { return strings.ReplaceAll(text, "\n", "") }},
	{"indented", func(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }},
	{"indented by a tab", func(text string) string { return "\t" + strings.ReplaceAll(text, "\n", "\n\t") }},
	{"with spaces at the ends of lines", func(text string) string { return strings.ReplaceAll(text, "\n", "  \n") }},
	{"with empty lines between", func(text string) string { return strings.ReplaceAll(text, "\n", "\n\n") }},
	{"in quotes", func(text string) string { return `"` + text + `"` }},
	{`in quotes, with \n as two characters`, func(text string) string { return `"` + strings.ReplaceAll(text, "\n", `\n`) + `"` }},
	{"in single quotes", func(text string) string { return "'" + text + "'" }},
	{"after a byte order mark", func(text string) string { return "\ufeff" + text }},
	{"after other text", func(text string) string { return "Bag Attributes\n    friendlyName: x\n" + text }},
	{"in base64", func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }},
	{"in base64 of 76 columns", func(text string) string { return columns(base64.StdEncoding.EncodeToString([]byte(text))) }},
	{"in base64 without padding", func(text string) string { return base64.RawStdEncoding.EncodeToString([]byte(text)) }},
	{"in base64url", func(text string) string { return base64.URLEncoding.EncodeToString([]byte(text)) }},
	{"in base64 in quotes", func(text string) string { return `"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"` }},
	{`in base64 of \n as two characters`, func(text string) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(text, "\n", `\n`)))
	}},
}

func columns(text string) (broken string) {
	for len(text) > 76 {
		broken, text = broken+text[:76]+"\n", text[76:]
	}
	return broken + text + "\n"
}

// pemKeys returns a PEM text for every kind of key that is taken.
func pemKeys(t testing.TB) map[string]struct {
	algorithm, text string
	private         crypto.Signer
} {
	t.Helper()
	type pemKey = struct {
		algorithm, text string
		private         crypto.Signer
	}
	encode := func(kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	p256, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsa2048, err2 := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, err3 := ed25519.GenerateKey(rand.Reader)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	pkcs8 := func(key any) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return encode("PRIVATE KEY", der, err)
	}
	der, err := x509.MarshalECPrivateKey(p256)
	sec1 := encode("EC PRIVATE KEY", der, err)
	return map[string]pemKey{
		"P-256 in PKCS #8":            {"ES256", pkcs8(p256), p256},
		"P-256 in SEC 1":              {"ES256", sec1, p256},
		"P-256 after its parameters":  {"ES256", curveP256 + sec1, p256},
		"P-256 before its parameters": {"ES256", sec1 + curveP256, p256},
		"RSA in PKCS #8":              {"RS256", pkcs8(rsa2048), rsa2048},
		"RSA in PKCS #1":              {"RS256", encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsa2048), nil), rsa2048},
		"Ed25519":                     {"EdDSA", pkcs8(ed), ed},
		"P-256 among parameters":      {"ES256", curveP256 + curveP256 + sec1 + curveP256, p256},
	}
}

func TestPEMAsPeopleHaveIt(t *testing.T) {
	for kind, key := range pemKeys(t) {
		for _, form := range pemForms {
			t.Run(kind+" "+form.name, func(t *testing.T) {
				text := []byte(form.make(key.text))
				older, err := newPublicKey(text)
				if err != nil {
					t.Fatal(err)
				}
				made, err := newPrivateKey(key.algorithm, text)
				if err != nil {
					t.Fatal(err)
				}
				for _, k := range fixedKeys(made, older) {
					if !k.public.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.private.Public()) {
						t.Errorf("got the key %v; want another", k.public)
					}
				}
				if !holdsPrivateKey(text) {
					t.Error("it does not count as a private key")
				}
			})
		}
	}
}

func TestPEMThatIsRefused(t *testing.T) {
	keys := pemKeys(t)
	p256 := keys["P-256 in PKCS #8"].text
	tests := []struct{ name, text, says string }{
		{"nothing", "", "no PEM block"},
		{"base64 of something else", base64.StdEncoding.EncodeToString([]byte("opensesame opensesame")), "no PEM block"},
		{"parameters alone", curveP256, "no PEM block"},
		{"two keys", p256 + p256, "more than one"},
		{"two keys with parameters between", p256 + curveP256 + p256, "more than one"},
		{`two keys with \n as two characters`, strings.ReplaceAll(p256+p256, "\n", `\n`), "more than one"},
		{"two keys in base64", base64.StdEncoding.EncodeToString([]byte(p256 + p256)), "more than one"},
		{"an encrypted key", strings.ReplaceAll(p256, "PRIVATE", "ENCRYPTED PRIVATE"), "encrypted"},
		{"a key encrypted as OpenSSL once did it", strings.Replace(keys["P-256 in SEC 1"].text, "\n", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n", 1), "encrypted"},
		{"a key of OpenSSH", strings.ReplaceAll(p256, "PRIVATE", "OPENSSH PRIVATE"), "PKCS #8"},
		{"a key that was cut off", p256[:len(p256)/2], "no PEM block"},
		{"a certificate", strings.ReplaceAll(p256, "PRIVATE KEY", "CERTIFICATE"), "PKCS #8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parsePEM([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v; want an error with %q", err, tt.says)
			}
		})
	}
}

// FuzzParsePEM: what is taken is the same key after one more tidying, and no error
// repeats the text.
func FuzzParsePEM(f *testing.F) {
	for _, key := range pemKeys(f) {
		for _, form := range pemForms {
			f.Add([]byte(form.make(key.text)))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := parsePEM(text)
		again, err2 := parsePEM(tidyPEM(text))
		if (err == nil) != (err2 == nil) {
			t.Fatalf("got %v, and %v of the tidy text", err, err2)
		}
		if err != nil {
			return
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		other, err2 := x509.MarshalPKCS8PrivateKey(again)
		if _, private := key.(crypto.Signer); private && (err != nil || err2 != nil || !bytes.Equal(der, other)) {
			t.Errorf("the tidy text holds another key: %v, %v", err, err2)
		}
	})
}
