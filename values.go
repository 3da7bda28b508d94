package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// shown returns a value in quotes, unless it seems to contain a password: a database URL may
// be in the wrong variable.
func shown(value string) string {
	if mayHoldSecret(value) {
		return "a value that is not shown, because it may hold a secret"
	}
	return strconv.Quote(value)
}

// looksRandom matches a text that may be a secret key in the wrong variable. Except for paths,
// no correct value is as long without a break.
var looksRandom = regexp.MustCompile(`^[A-Za-z0-9+_-][A-Za-z0-9+/_-]{19,}$`)

func mayHoldSecret(value string) bool {
	scheme, _, isURL := strings.Cut(value, "://")
	return strings.ContainsAny(value, "@=") || looksRandom.MatchString(value) || isURL && scheme != "http" && scheme != "https"
}

// quotes maps an opening quote to its closing one.
var quotes = map[rune]rune{'"': '"', '\'': '\'', '`': '`', '“': '”', '‘': '’', '„': '“', '«': '»'}

// trimEnds cuts white space and pairs of quotes off the ends of a value.
func trimEnds(value string) string {
	for {
		cut := strings.TrimFunc(value, isBlank)
		first, n := utf8.DecodeRuneInString(cut)
		last, m := utf8.DecodeLastRuneInString(cut)
		if end, ok := quotes[first]; ok && end == last && n+m <= len(cut) {
			cut = cut[n : len(cut)-m]
		}
		if cut == value {
			return value
		}
		value = cut
	}
}

// isBlank reports whether c is white space or a byte order mark, which Windows editors write.
func isBlank(c rune) bool { return unicode.IsSpace(c) || c == '\ufeff' || c == '\u200b' }

// hasQuoteAtEnd reports whether a value begins or ends with a quote.
func hasQuoteAtEnd(value string) bool {
	const all = "\"'`“”‘’„«»"
	first, _ := utf8.DecodeRuneInString(value)
	last, _ := utf8.DecodeLastRuneInString(value)
	return value != "" && (strings.ContainsRune(all, first) || strings.ContainsRune(all, last))
}

// maxQuoted is how much of a text a message repeats, in code points.
const maxQuoted = 64

// quoted returns a text in quotes for a message: cut off if it is long, and escaped, because it
// may have been made to trick a terminal.
func quoted(text string) string {
	n := 0
	for i := range text {
		if n++; n > maxQuoted {
			return fmt.Sprintf("%q...", text[:i])
		}
	}
	return fmt.Sprintf("%q", text)
}

// printable returns text as it is shown on a terminal: what could garble it, or hide another
// text, is escaped.
func printable(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return text
	}
	escaped := fmt.Sprintf("%q", text)
	return escaped[1 : len(escaped)-1]
}

// shellWord returns text as one word of a command that a message proposes.
func shellWord(text string) string {
	isPlain := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-@", r) }
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !isPlain(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(printable(text), "'", `'\''`) + "'"
}

// thousands returns a number with commas.
func thousands[N int | int64](n N) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// countOf returns a number with commas, and what is counted.
func countOf(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return thousands(n) + " " + noun
}
