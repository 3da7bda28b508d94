package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// parsePEM reads a key in PKCS #8, PKCS #1, SEC 1 or, for a public one,
// SubjectPublicKeyInfo. A second key is an error, because the caller probably believes it to
// be in use. No error quotes the text.
func parsePEM(text []byte) (any, error) {
	block, rest := decodePEM(tidyPEM(text))
	if block == nil {
		return nil, errors.New("no PEM block; want -----BEGIN PRIVATE KEY-----")
	}
	if second, _ := decodePEM(rest); second != nil {
		return nil, errors.New("more than one PEM block; want one key")
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" { // RFC 1421 §4.6.1.3
		return nil, errors.New("the key is encrypted; want it without a passphrase")
	}
	key, err := parseDER(block)
	if err != nil {
		return nil, fmt.Errorf("PEM block of type %.40q that holds no such key; want PRIVATE KEY (PKCS #8), EC PRIVATE KEY (SEC 1) or RSA PRIVATE KEY (PKCS #1): %w", block.Type, err)
	}
	return key, nil
}

// decodePEM returns the first block and the text after it. It skips blocks that only name a
// curve, which openssl ecparam -genkey writes before the key.
func decodePEM(text []byte) (*pem.Block, []byte) {
	block, rest := pem.Decode(text)
	for block != nil && block.Type == "EC PARAMETERS" {
		block, rest = pem.Decode(rest)
	}
	return block, rest
}

// tidyPEM returns a PEM text with the line breaks that package pem wants. In environment
// variables the text is often on one line, with \n or a space for each line break, indented,
// or encoded in base64 as a whole.
func tidyPEM(text []byte) []byte {
	tidy := trimEnds(string(text))
	if !strings.Contains(tidy, "-----BEGIN ") {
		tidy = fromBase64(tidy)
	}
	tidy = lineEnds.ReplaceAllString(tidy, "\n")
	return []byte(pemBoundary.ReplaceAllString(tidy, "\n$1\n"))
}

var (
	lineEnds    = regexp.MustCompile(`[ \t]*(?:(?:\\+r)?\\+n|\r\n?|\n)[ \t]*`)
	pemBoundary = regexp.MustCompile(`\s*(-----(?:BEGIN|END) [^-\n]+-----)\s*`)
)

// fromBase64 decodes base64 of either alphabet, with or without padding and line ends.
// It returns any other text unchanged.
func fromBase64(text string) string {
	plain := strings.Join(strings.Fields(lineEnds.ReplaceAllString(text, "")), "")
	plain = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(plain, "="))
	decoded, err := base64.RawStdEncoding.DecodeString(plain)
	if err != nil {
		return text
	}
	return string(decoded)
}

func parseDER(block *pem.Block) (any, error) {
	switch block.Type {
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	}
	return nil, errors.New("unknown type")
}
