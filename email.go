package main

import (
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

const (
	maxEmailInput = 2048 // characters, a display name included
	maxAddress    = 254  // bytes: RFC 3696 §3 as corrected by erratum 1690
)

// roleMailboxes are the local parts that mean the same in either case
// (RFC 2142 §3 to §5).
var roleMailboxes = []string{
	"info", "marketing", "sales", "support",
	"abuse", "noc", "security",
	"postmaster", "hostmaster", "usenet", "news", "webmaster", "www", "uucp", "ftp",
}

// reservedDomains are the special-use names that no public mail server can have
// (RFC 3172, RFC 6761, RFC 6762, RFC 7686). The example names of RFC 6761 §6.5
// are not among them: software is to treat those as ordinary.
var reservedDomains = []string{"arpa", "invalid", "local", "localhost", "onion", "test"}

// uts46 maps code points as UTS #46 §4 step 1 does, and checks nothing else.
var uts46 = idna.New(idna.MapForLookup(), idna.ValidateLabels(false))

// registration checks a domain name as RFC 5891 §4 does, except for hyphens:
// package idna counts those places in bytes.
var registration = idna.New(idna.ValidateForRegistration(), idna.CheckHyphens(false))

// idnaAllowed are the code points that RFC 5892 §2.6 allows although they are
// no letters, and the hyphen.
var idnaAllowed = &unicode.RangeTable{R16: []unicode.Range16{
	{Lo: '-', Hi: '-', Stride: 1},
	{Lo: 0x06fd, Hi: 0x06fe, Stride: 1}, // Arabic signs sindhi
	{Lo: 0x0f0b, Hi: 0x0f0b, Stride: 1}, // Tibetan mark intersyllabic tsheg
	{Lo: 0x3007, Hi: 0x3007, Stride: 1}, // ideographic number zero
}}

// idnaRefused are the letters and marks that RFC 5892 refuses and UTS #46 does
// not: the exceptions (§2.6), two blocks of marks and notes (§2.4), and the
// parts of Old Hangul syllables (§2.9).
var idnaRefused = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x0640, Hi: 0x0640, Stride: 1}, // Arabic tatweel
		{Lo: 0x07fa, Hi: 0x07fa, Stride: 1}, // NKo lajanyalan
		{Lo: 0x1100, Hi: 0x11ff, Stride: 1}, // Hangul Jamo
		{Lo: 0x20d0, Hi: 0x20ff, Stride: 1}, // Combining Diacritical Marks for Symbols
		{Lo: 0x302e, Hi: 0x302f, Stride: 1}, // Hangul tone marks
		{Lo: 0x3031, Hi: 0x3035, Stride: 1}, // vertical kana repeat marks
		{Lo: 0x303b, Hi: 0x303b, Stride: 1}, // vertical ideographic iteration mark
		{Lo: 0xa960, Hi: 0xa97f, Stride: 1}, // Hangul Jamo Extended-A
		{Lo: 0xd7b0, Hi: 0xd7ff, Stride: 1}, // Hangul Jamo Extended-B
	},
	R32: []unicode.Range32{
		{Lo: 0x1d100, Hi: 0x1d24f, Stride: 1}, // Musical Symbols, Ancient Greek Musical Notation
	},
}

// parseEmail returns the normal form of the address in s, by the rules of pydantic's EmailStr:
// the local part in NFC and its own case, the domain in Unicode and lower case. It drops space
// around the address, and a display name, as in "Jane Doe <jane@example.com>". The error is a
// text for the user, and does not quote s. It does not ask whether the domain exists.
//
// It is here because no Go library agrees with EmailStr on the recorded answers: package
// net/mail accepts and refuses other addresses, and normalizes none.
func parseEmail(s string) (string, error) {
	addr, err := bareAddress(s)
	if err != nil {
		return "", err
	}
	// The limit holds before normalization and after it: the address must be usable as it
	// was written, too.
	if len(addr) > maxAddress {
		return "", errors.New("the address is too long")
	}
	local, domain, found := strings.Cut(addr, "@")
	if !found {
		return "", errors.New("the @-sign is missing")
	}
	local, err = parseLocalPart(local)
	if err != nil {
		return "", err
	}
	name, ascii, err := parseDomain(domain)
	if err != nil {
		return "", err
	}
	if len(local+"@")+max(len(name), len(ascii)) > maxAddress {
		return "", errors.New("the address is too long in its normal form")
	}
	return local + "@" + name, nil
}

// bareAddress returns the text between the angle brackets of s, or s itself if it has none,
// without the space around it. It does not check the address. The error says that s is too
// long, is not one line of text, or has a malformed display name.
func bareAddress(s string) (string, error) {
	if len(s) > maxEmailInput*utf8.UTFMax || utf8.RuneCountInString(s) > maxEmailInput {
		return "", errors.New("the text is too long")
	}
	if !utf8.ValidString(s) {
		return "", errors.New("the text is not valid UTF-8")
	}
	if strings.ContainsAny(s, "\r\n") {
		return "", errors.New("the text has more than one line")
	}
	s = strings.TrimFunc(s, isSpace)
	s, bracketed := strings.CutSuffix(s, ">")
	if !bracketed {
		return s, nil
	}
	// No address may contain a bracket, so only the last one can open it.
	open := strings.LastIndexByte(s, '<')
	if open < 0 || !isDisplayName(strings.TrimFunc(s[:open], isSpace)) {
		return "", errors.New("only a name may stand before an address in angle brackets")
	}
	return strings.TrimFunc(s[open+1:], isSpace), nil
}

// isDisplayName reports whether s may stand before an address in angle
// brackets: nothing, words, or anything in quotes. This is wider than the
// phrase of RFC 5322 §3.2.5, and no combining mark is part of a word.
func isDisplayName(s string) bool {
	if len(s) > 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return true
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !isSpace(r) && !isWordRune(r)
	})
}

func isWordRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsNumber(r) || strings.ContainsRune(".!#$%&'*+-/=?^_`{|}~", r)
}

// isSpace reports whether r is white space or one of the four information
// separators, which Python strips as well.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f
}

// parseLocalPart returns the normal form of the part before the @-sign: in NFC
// (RFC 6532 §3.1) and, if it names a role, in lower case. The error says that s
// is no Dot-string of RFC 5321 §4.1.2 as RFC 6531 §3.3 widens it, before or
// after normalization.
func parseLocalPart(s string) (string, error) {
	if err := checkLocalPart(s); err != nil {
		return "", err
	}
	nfc := norm.NFC.String(s)
	// Package norm cuts a run of more than thirty marks with a joiner
	// (UAX #15 §13): another address than the one that was written.
	const joiner = "\u034f"
	if strings.Count(nfc, joiner) != strings.Count(s, joiner) {
		return "", errors.New("too many combining marks follow each other")
	}
	// Some characters turn into others: U+037E becomes a semicolon.
	if err := checkLocalPart(nfc); err != nil {
		return "", err
	}
	return lowerRole(nfc), nil
}

// checkLocalPart returns an error if s is no Dot-string of safe characters.
func checkLocalPart(s string) error {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return errors.New("the part before the @-sign is empty or has a misplaced period")
		}
	}
	if !isSafe(s, isLocalRune) {
		return errors.New("the part before the @-sign has a character that is not allowed there")
	}
	return nil
}

// lowerRole returns s in lower case if it is the name of a role. Otherwise it returns s.
func lowerRole(s string) string {
	for _, role := range roleMailboxes {
		// The same length in bytes, because EqualFold also takes ſ for s.
		if len(s) == len(role) && strings.EqualFold(s, role) {
			return role
		}
	}
	return s
}

// isSafe reports whether every character of s is allowed, and the first is not
// a mark that would change the look of what stands before s.
func isSafe(s string, allowed func(rune) bool) bool {
	first, _ := utf8.DecodeRuneInString(s)
	return !unicode.IsMark(first) && !strings.ContainsFunc(s, func(r rune) bool { return !allowed(r) })
}

// isLocalRune reports whether r is a period, an atext of RFC 5322 §3.2.3, or
// visible and not ASCII.
func isLocalRune(r rune) bool {
	return isHostRune(r) || strings.ContainsRune("!#$%&'*+/=?^_`{|}~", r)
}

// isHostRune reports whether r is a letter, a digit, a hyphen or a period, or
// visible and not ASCII: no space, no control or format character, nothing
// private or unassigned.
func isHostRune(r rune) bool {
	if r >= utf8.RuneSelf {
		return unicode.IsPrint(r)
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '.'
}

// parseDomain returns the domain name s in Unicode and in its ASCII form, both in lower case.
// The error says that s is not a host name, is not valid under IDNA 2008, or is not for public
// mail.
func parseDomain(s string) (name, ascii string, err error) {
	if !isSafe(s, isHostRune) {
		return "", "", errors.New("the part after the @-sign has a character that is not allowed there")
	}
	mapped, err := mapDomain(s)
	if err != nil {
		return "", "", err
	}
	labels := strings.Split(mapped, ".")
	for i, label := range labels {
		if labels[i], err = parseLabel(label); err != nil {
			return "", "", err
		}
	}
	name = strings.Join(labels, ".")
	// What parseLabel does not check: lengths, NFC, a mark at the start of a
	// label, and the Bidi rule of RFC 5893, which needs all labels.
	if ascii, err = registration.ToASCII(name); err != nil {
		return "", "", errors.New("the part after the @-sign is not a valid domain name")
	}
	return name, ascii, checkPublic(ascii)
}

// mapDomain prepares s for splitting (UTS #46 §4, steps 1 and 2): lower case,
// full-width forms and ideographic full stops replaced, NFC. The error says
// that a character has no place in a domain name.
func mapDomain(s string) (string, error) {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" {
		return s, nil // it stays as it is
	}
	var b strings.Builder
	for _, r := range s {
		// One character at a time: package idna would also decode a whole label, and its
		// spelling would be lost.
		m, err := uts46.ToUnicode(string(lowerLate(r)))
		if err != nil {
			return "", errors.New("the part after the @-sign has a character that no domain name has")
		}
		b.WriteString(m)
	}
	return norm.NFC.String(b.String()), nil
}

// lowerLate returns r in lower case if it is one of the capitals for which only
// Unicode 15.1 and 16 define a mapping: sharp s, palochka, turned F, reversed C
// and old Georgian. With Go 1.26 the tables of package idna are Unicode 15.0.
func lowerLate(r rune) rune {
	if strings.ContainsRune("\u1e9e\u04c0\u2132\u2183", r) || '\u10a0' <= r && r <= '\u10cd' {
		return unicode.ToLower(r)
	}
	return r
}

// parseLabel returns a label in Unicode. The error says that it is empty, looks
// like Punycode and is not, or has a code point that RFC 5892 does not allow
// in that place.
func parseLabel(label string) (string, error) {
	if label == "" {
		return "", errors.New("a period after the @-sign is misplaced")
	}
	if strings.HasPrefix(label, "xn--") {
		var err error
		if label, err = decodeLabel(label); err != nil {
			return "", err
		}
	}
	runes := []rune(label)
	if hasBadHyphen(runes) {
		return "", errors.New("the part after the @-sign has a misplaced hyphen")
	}
	for i, r := range runes {
		if !isLabelRune(r) && !isAllowedByContext(runes, i) {
			return "", errors.New("the part after the @-sign has a character that no domain name has")
		}
	}
	return label, nil
}

// hasBadHyphen reports whether a label begins or ends with a hyphen, or has them
// in the third and fourth place, which mark Punycode (RFC 5891 §4.2.3.1).
func hasBadHyphen(label []rune) bool {
	if label[0] == '-' || label[len(label)-1] == '-' {
		return true
	}
	return len(label) >= 4 && label[2] == '-' && label[3] == '-'
}

// decodeLabel returns the U-label of an A-label. The error says that label is
// not what encoding the answer gives: two spellings of one name would let one
// mailbox pass for two (RFC 5891 §5.3).
func decodeLabel(label string) (string, error) {
	u, err := idna.Punycode.ToUnicode(label)
	if err != nil {
		return "", errors.New("a label after the @-sign is not valid Punycode")
	}
	if again, err := idna.Punycode.ToASCII(u); err != nil || again != label {
		return "", errors.New("a label after the @-sign is not the usual Punycode of its name")
	}
	return u, nil
}

// isLabelRune reports whether r is PVALID (RFC 5892 §3), given that it is valid under UTS #46,
// which excludes unassigned, ignorable and unstable code points. Package idna checks no more
// than that, and so accepts symbols and emoji.
func isLabelRune(r rune) bool {
	if unicode.Is(idnaRefused, r) {
		return false
	}
	return unicode.In(r, unicode.L, unicode.Nd, unicode.Mn, unicode.Mc, idnaAllowed)
}

// isAllowedByContext reports whether the CONTEXTO code point at i may stand
// where it stands (RFC 5892 Appendix A.3 to A.7). The joiners of A.1 and A.2 are
// never allowed: they cannot be seen. The digits of A.8 and A.9 are letters to
// isLabelRune, and the Bidi rule keeps the two kinds apart.
func isAllowedByContext(label []rune, i int) bool {
	var before, after rune
	if i > 0 {
		before = label[i-1]
	}
	if i+1 < len(label) {
		after = label[i+1]
	}
	switch label[i] {
	case '\u00b7': // middle dot, as in Catalan col·lega
		return before == 'l' && after == 'l'
	case '\u0375': // Greek lower numeral sign
		return unicode.Is(unicode.Greek, after)
	case '\u05f3', '\u05f4': // Hebrew geresh and gershayim
		return unicode.Is(unicode.Hebrew, before)
	case '\u30fb': // Katakana middle dot
		return slices.ContainsFunc(label, isJapanese)
	}
	return false
}

func isJapanese(r rune) bool {
	return unicode.In(r, unicode.Hiragana, unicode.Katakana, unicode.Han)
}

// checkPublic returns an error if a domain, in its ASCII form, cannot receive public mail: it
// has no period, is not under a top-level domain, all of which end in a letter, or is a
// special-use name.
func checkPublic(ascii string) error {
	if !strings.Contains(ascii, ".") {
		return errors.New("the part after the @-sign has no period")
	}
	if last := ascii[len(ascii)-1]; last < 'a' || 'z' < last {
		return errors.New("the part after the @-sign is under no top-level domain")
	}
	for _, name := range reservedDomains {
		if ascii == name || strings.HasSuffix(ascii, "."+name) {
			return errors.New("the part after the @-sign is a name for special use")
		}
	}
	return nil
}
