package main

import (
	_ "embed"
	"strings"
	"unicode/utf8"
)

// checkPassword returns what is wrong with a new password, or nil. It follows NIST SP 800-63B
// §3.1.1.2: a length, a list of common passwords, and no rules of composition.
//
// It ignores NULs at the end, as the hash does: HMAC pads its key with zeros (RFC 2104 §2).
func checkPassword(password, username string, minLength int) *fieldError {
	if bad := checkLength(password, 0, maxPassword); bad != nil {
		return bad
	}
	password = strings.TrimRight(password, "\x00")
	if bad := checkLength(password, minLength, maxPassword); bad != nil {
		return bad
	}
	if spells(password, username) {
		return valueError("the password must not be the username")
	}
	if isCommonPassword(password) {
		return valueError("the password is too common: it is among the first that an attacker tries")
	}
	return nil
}

// commonPasswords holds one password a line, in lower case, with a newline
// before the first and after the last; see its README.
//
//go:embed passwords/common.txt
var commonPasswords string

// longestCommon is the length of the longest line of commonPasswords, in bytes.
const longestCommon = 66

// isCommonPassword reports whether a password is in the embedded list, whatever its case, or is
// one ASCII character typed over and over. The password must not be empty.
func isCommonPassword(password string) bool {
	const longestRun = 64 // attackers do not try longer ones first
	if len(password) <= longestRun && password[0] < utf8.RuneSelf && strings.Trim(password, password[:1]) == "" {
		return true
	}
	return len(password) <= utf8.UTFMax*longestCommon && !strings.Contains(password, "\n") &&
		strings.Contains(commonPasswords, "\n"+strings.ToLower(password)+"\n")
}
