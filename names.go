package main

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Limits on what people may choose, in code points.
const (
	maxUsername = 150
	maxPassword = 4096
)

// maxUsernameKey is how long a usernameKey may be, in bytes: it has to fit into
// an index of a database.
const maxUsernameKey = 4 * maxUsername

// maxComposed is the most code points that NFC combines into one. It is also the most bytes
// that a name has in NFKC for each byte of its usernameKey.
const maxComposed = 4

// parseUsername returns a new name in NFC, or what is wrong with it.
func parseUsername(name string) (string, *fieldError) {
	name, bad := normalName(name)
	if bad == nil {
		bad = checkUsername(name)
	}
	return name, bad
}

// normalName returns name in NFC, or an error if it is too short or too long. It does not
// normalize a name that is far too long, because that takes milliseconds.
func normalName(name string) (string, *fieldError) {
	if !isASCII(name) && utf8.RuneCountInString(name) <= maxComposed*maxUsername {
		name = norm.NFC.String(name)
	}
	return name, checkLength(name, 1, maxUsername)
}

// checkUsername returns what is wrong with a new name, or nil. normalName must have accepted
// it.
func checkUsername(name string) *fieldError {
	for _, r := range name {
		if isInvisible(r) || !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Zs) {
			return valueError("the username must not contain control, format, invisible or unassigned characters")
		}
	}
	if name != strings.TrimSpace(name) {
		return valueError("the username must not begin or end with white space")
	}
	if expands(name) || len(usernameKey(name)) > maxUsernameKey {
		return valueError("the username is too long when its characters are written out")
	}
	if key := usernameKey(name); strings.HasPrefix(key, "cli:") || strings.HasPrefix(key, "env:") {
		return valueError("the username must not begin with 'cli:' or 'env:', by which events name other actors")
	}
	if usernameKey(name) == "me" {
		return valueError("the username must not be 'me', which the API uses itself")
	}
	return nil
}

// isInvisible reports whether r is invisible, so that a name with it would look like another
// name: control and format characters, the other code points that are ignored by default (The
// Unicode Standard §5.21), and the blank of Braille.
func isInvisible(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		r == '\u17B4' || r == '\u17B5' || r == '\u2800'
}

// isAroundName reports whether r is cut from the ends of a login's name: invisible characters
// and white space, except NUL, which nobody types by mistake.
func isAroundName(r rune) bool { return r != 0 && (unicode.IsSpace(r) || isInvisible(r)) }

// usernameKey returns a text that is the same for all spellings of a name. Names are unique
// without regard to case, width and kind of space: Unicode's compatibility caseless matching
// (The Unicode Standard §3.13, D146), with runs of spaces as one, as in the Nickname profile
// of RFC 8266. That profile itself would refuse names of Hangul letters, such as ㄱ.
func usernameKey(name string) string {
	if isASCII(name) {
		return foldSpaces(strings.ToLower(name)) // the same, and quicker
	}
	key := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(cases.Fold().String(norm.NFD.String(name)))))
	key = strings.Map(foldCherokee, key)
	if key = foldSpaces(key); key == name {
		return name // share its memory
	}
	return key
}

// foldSpaces replaces runs of spaces by one.
func foldSpaces(text string) string {
	for strings.Contains(text, "  ") {
		text = strings.ReplaceAll(text, "  ", " ")
	}
	return text
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// foldCherokee folds the one script that package cases leaves as it is.
func foldCherokee(r rune) rune {
	if 0xAB70 <= r && r <= 0xABBF || 0x13F8 <= r && r <= 0x13FD {
		return unicode.ToUpper(r)
	}
	return r
}

// spells reports whether text is a spelling of a name. It does not normalize a text that is
// much longer than the name, because that takes milliseconds.
func spells(text, name string) bool {
	if expands(name) {
		return false
	}
	key := usernameKey(name)
	return !isLonger(text, maxComposed*len(key)) && usernameKey(text) == key
}

// expands reports whether the usernameKey of a name is certainly longer than maxUsernameKey.
// It is quick even for a long text.
func expands(name string) bool { return isLonger(name, maxComposed*maxUsernameKey) }

// isLonger reports whether text has more than n bytes in NFKC.
func isLonger(text string, n int) bool {
	if isASCII(text) {
		return len(text) > n
	}
	var it norm.Iter
	for it.InitString(norm.NFKC, text); !it.Done() && n >= 0; {
		n -= len(it.Next())
	}
	return n < 0
}
