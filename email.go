package main

import (
	"errors"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Limits of an e-mail address: RFC 5321 §4.5.3.1.3 with erratum 1690 of
// RFC 3696, in bytes; and the text that it may be wrapped in, in code points.
const (
	maxEmail     = 254
	maxEmailText = 2048
	maxDomain    = 253 // RFC 1035 §2.3.4 without the root label
)

// parseEmail returns the address in text in its normal form: the part before
// the @ in NFC, the domain in Unicode and in small letters. An error says in
// words for people why text is not one.
//
// It takes what pydantic's EmailStr takes: also an address with a name before
// it, as in "Hong Gildong <hong@example.com>", of which it returns the address.
func parseEmail(text string) (string, error) {
	switch {
	case utf8.RuneCountInString(text) > maxEmailText:
		return "", errors.New("it is too long")
	case !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n"):
		return "", errors.New("it must be text on one line")
	}
	address := text
	if m := namedAddress.FindStringSubmatch(text); m != nil {
		address = m[1]
	}
	address = strings.TrimFunc(address, isPythonSpace)
	local, domain, ok := strings.Cut(address, "@")
	if !ok {
		return "", errors.New("it has no @")
	}
	local, err := parseLocalPart(local)
	if err != nil {
		return "", err
	}
	ascii, domain, err := parseDomain(domain)
	if err != nil {
		return "", err
	}
	normal := local + "@" + domain
	if max(len(address), len(normal), len(local)+1+len(ascii)) > maxEmail {
		return "", errors.New("it is too long: an address has at most 254 bytes")
	}
	return normal, nil
}

// namedAddress matches an address in angle brackets, with or without a name, of
// plain words or in quotes, before it.
var namedAddress = regexp.MustCompile(
	`^[\s\v\x1c-\x1f\x{85}\pZ]*` +
		"(?:(?:[\\pL\\pN_.!#$%&'*+\\-/=?^`{|}~]+[\\s\\v\\x1c-\\x1f\\x{85}\\pZ]+)*[\\pL\\pN_.!#$%&'*+\\-/=?^`{|}~]+|\".+\")?" +
		`[\s\v\x1c-\x1f\x{85}\pZ]*<(.+)>[\s\v\x1c-\x1f\x{85}\pZ]*$`)

// isPythonSpace reports whether Python's str.strip takes r away: what Unicode
// calls white space, and four separators of ASCII.
func isPythonSpace(r rune) bool { return unicode.IsSpace(r) || '\x1c' <= r && r <= '\x1f' }

// parseLocalPart returns what stands before the @, in NFC: words of RFC 5322
// §3.2.3 with periods between them, and after RFC 6531 §3.3 all but ASCII too.
// The form in quotes is refused.
func parseLocalPart(text string) (string, error) {
	for _, form := range []string{text, norm.NFC.String(text)} {
		if err := checkLocalPart(form); err != nil {
			return "", err
		}
	}
	if roleNames[strings.ToLower(text)] {
		return strings.ToLower(text), nil
	}
	return norm.NFC.String(text), nil
}

func checkLocalPart(text string) error {
	switch {
	case text == "":
		return errors.New("there is nothing before the @")
	case text[0] == '"':
		return errors.New("quotes before the @ are not allowed")
	case text[0] == '.' || text[len(text)-1] == '.' || strings.Contains(text, ".."):
		return errors.New("a period must stand between two other characters before the @")
	}
	for i, r := range text {
		if r < utf8.RuneSelf && !isAtomText(r) || r >= utf8.RuneSelf && !isVisible(r, i == 0) {
			return errors.New("it has characters before the @ that are not allowed there")
		}
	}
	return nil
}

// roleNames are the mailboxes that RFC 2142 defines without regard to case.
var roleNames = map[string]bool{
	"info": true, "marketing": true, "sales": true, "support": true,
	"abuse": true, "noc": true, "security": true,
	"postmaster": true, "hostmaster": true, "usenet": true, "news": true,
	"webmaster": true, "www": true, "uucp": true, "ftp": true,
}

// isAtomText reports whether r is a period or atext of RFC 5322 §3.2.3.
func isAtomText(r rune) bool {
	return isLetterDigit(r) || strings.ContainsRune(".!#$%&'*+-/=?^_`{|}~", r)
}

// isLetterDigit reports whether r is a letter or a digit of ASCII.
func isLetterDigit(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// isVisible reports whether r is a letter, number, punctuation mark or symbol,
// or, unless it stands first, a mark that belongs to the character before it.
func isVisible(r rune, first bool) bool {
	return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) || !first && unicode.Is(unicode.M, r)
}

var (
	errDomainText = errors.New("the part after the @ is no domain name")
	errNoDomain   = errors.New("there is nothing after the @")
	errNoPeriod   = errors.New("the part after the @ has no period")
	errNoTLD      = errors.New("the part after the @ does not end with a top-level domain")
	errReserved   = errors.New("the part after the @ is a name reserved for special use (RFC 6761)")
)

// mapDomain does the mapping of UTS #46 §4, and checkDomain the tests of
// RFC 5891 §4.2 that package idna knows. Hyphens are left to isDomainLabel.
var (
	mapDomain   = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.CheckHyphens(false), idna.StrictDomainName(false))
	checkDomain = idna.New(idna.ValidateForRegistration(), idna.CheckHyphens(false))
)

// parseDomain returns a domain name in ASCII and in Unicode.
func parseDomain(text string) (ascii, name string, err error) {
	if text == "" {
		return "", "", errNoDomain
	}
	if strings.HasPrefix(text, "[") {
		return "", "", errors.New("an IP address after the @ is not allowed")
	}
	if utf8.RuneCountInString(text) > maxDomain || !isDomainText(text) {
		return "", "", errDomainText
	}
	text = strings.ReplaceAll(text, "ẞ", "ß") // as UTS #46 maps it since Unicode 15.1
	name, err = mapDomain.ToUnicode(text)
	if err != nil {
		return "", "", errDomainText
	}
	ascii, err = checkDomain.ToASCII(name)
	if err != nil || len(ascii) > maxDomain || hasFakePunycode(text) {
		return "", "", errDomainText
	}
	for label := range strings.SplitSeq(name, ".") {
		if !isDomainLabel([]rune(label)) {
			return "", "", errDomainText
		}
	}
	return ascii, name, checkHostname(ascii)
}

// isDomainText reports whether text has only characters that a domain may have
// before it is mapped.
func isDomainText(text string) bool {
	for i, r := range text {
		switch {
		case r == '.' || r == '-' || isLetterDigit(r):
		case r < utf8.RuneSelf || !isVisible(r, i == 0) || decomposesToPeriod(r):
			return false
		}
	}
	return true
}

// decomposesToPeriod reports whether a mapping makes other characters and a
// period of r, as of ⒈; but the full-width period is one.
func decomposesToPeriod(r rune) bool {
	return r != '．' && strings.Contains(norm.NFKD.String(string(r)), ".")
}

// checkHostname checks a domain in ASCII as the name of a host that mail
// reaches.
func checkHostname(ascii string) error {
	if !strings.Contains(ascii, ".") {
		return errNoPeriod
	}
	if last := ascii[len(ascii)-1]; last < 'a' || last > 'z' {
		return errNoTLD
	}
	for _, reserved := range []string{"arpa", "invalid", "local", "localhost", "onion", "test"} {
		if strings.HasSuffix(ascii, "."+reserved) {
			return errReserved
		}
	}
	return nil
}

// hasFakePunycode reports whether a label of text says that it is Punycode and
// then holds other characters than ASCII.
func hasFakePunycode(text string) bool {
	mapped := strings.ReplaceAll(strings.ToLower(norm.NFKC.String(text)), "。", ".")
	for label := range strings.SplitSeq(mapped, ".") {
		if strings.HasPrefix(label, "xn--") && strings.ContainsFunc(label, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return true
		}
	}
	return false
}

// isDomainLabel checks what package idna does not: hyphens, and the code points
// that RFC 5892 allows in a label or beside certain others.
func isDomainLabel(label []rune) bool {
	n := len(label)
	if n == 0 || label[0] == '-' || label[n-1] == '-' || n >= 4 && label[2] == '-' && label[3] == '-' {
		return false
	}
	for i, r := range label {
		if r >= utf8.RuneSelf && !isLabelRune(r) || !isGoodContext(label, i) {
			return false
		}
	}
	return true
}

// isLabelRune reports whether r, which is none of ASCII, is PVALID or has rules
// for its context: the categories LetterDigits with the exceptions of RFC 5892
// §2.6, and no conjoining Hangul (§2.9).
func isLabelRune(r rune) bool {
	switch {
	case strings.ContainsRune("·͵׳״・\u200c\u200d۽۾་〇", r):
		return true
	case strings.ContainsRune("ـߺ〮〯〱〲〳〴〵〻", r):
		return false
	case 0x1100 <= r && r <= 0x11FF, 0xA960 <= r && r <= 0xA97C, 0xD7B0 <= r && r <= 0xD7FB:
		return false
	case 0x20D0 <= r && r <= 0x20FF, 0x1D100 <= r && r <= 0x1D24F: // marks for symbols and music, §2.4
		return false
	}
	return unicode.In(r, unicode.Ll, unicode.Lo, unicode.Lm, unicode.Mn, unicode.Mc, unicode.Nd)
}

// isGoodContext checks the rules of RFC 5892 appendix A.3 to A.9.
func isGoodContext(label []rune, i int) bool {
	before, after := rune(0), rune(0)
	if i > 0 {
		before = label[i-1]
	}
	if i+1 < len(label) {
		after = label[i+1]
	}
	switch r := label[i]; {
	case r == '·': // middle dot
		return before == 'l' && after == 'l'
	case r == '͵': // Greek numeral sign
		return unicode.Is(unicode.Greek, after)
	case r == '׳' || r == '״': // geresh, gershayim
		return unicode.Is(unicode.Hebrew, before)
	case r == '・': // Katakana middle dot
		return hasRune(label, func(r rune) bool {
			return r != '・' && unicode.In(r, unicode.Hiragana, unicode.Katakana, unicode.Han)
		})
	case '٠' <= r && r <= '٩':
		return !hasRune(label, func(r rune) bool { return '۰' <= r && r <= '۹' })
	}
	return true
}

func hasRune(label []rune, f func(rune) bool) bool {
	return strings.ContainsFunc(string(label), f)
}
