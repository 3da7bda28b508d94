package main

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
)

// Limits on what a form may hold, far above what the token endpoint reads.
const (
	maxFormFields  = 100
	maxFormParts   = 20
	maxPartHeader  = 4 << 10 // bytes
	maxPartHeaders = 16
)

// errTooLarge means that a request is too large to be read.
var errTooLarge = errors.New("request too large")

// A formError says why a form is ambiguous or incomplete. Nothing of such a form is used:
// half a form must not log anybody in. The error never quotes the form, which may hold a
// password.
type formError string

func (e formError) Error() string { return "malformed form: " + string(e) }

// A form holds the fields of a form request's body.
type form struct {
	values map[string]string
	files  map[string]bool // names of the fields that came as a file
}

// add records a field. RFC 6749 §3.2: parameters must not be included more
// than once.
func (f form) add(name, value string, isFile bool) error {
	_, twice := f.values[name]
	if twice || f.files[name] {
		return formError("a field is repeated")
	}
	if isFile {
		f.files[name] = true
		return nil
	}
	f.values[name] = value
	return nil
}

// parseForm reads the body of an HTML form: urlencoded or multipart. A body of another type is
// a form without fields, as in FastAPI. It returns a formError, or errTooLarge if there are
// too many fields.
//
// [http.Request.ParseMultipartForm] is not used: it ignores the errors of a urlencoded body
// and keeps the fields before them, it writes large parts to disk, and it mixes in the query
// string.
func parseForm(contentType string, body []byte) (form, error) {
	f := form{make(map[string]string), make(map[string]bool)}
	switch mediaType(contentType) {
	case "application/x-www-form-urlencoded":
		return f, f.parseURLEncoded(string(body))
	case "multipart/form-data":
		return f, f.parseMultipart(body, contentType)
	}
	return f, nil
}

// mediaType returns the type and subtype of a Content-Type header in lower case. Like FastAPI
// it ignores malformed parameters.
func mediaType(contentType string) string {
	essence, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(essence))
}

// parseURLEncoded reads the fields of an application/x-www-form-urlencoded body
// (https://url.spec.whatwg.org/#urlencoded-parsing). [url.ParseQuery] is not used, because it
// refuses semicolons.
func (f form) parseURLEncoded(body string) error {
	for n := 0; body != ""; n++ {
		if n == maxFormFields {
			return errTooLarge
		}
		var pair string
		pair, body, _ = strings.Cut(body, "&")
		if pair == "" {
			continue
		}
		if err := f.addPair(pair); err != nil {
			return err
		}
	}
	return nil
}

func (f form) addPair(pair string) error {
	name, value, _ := strings.Cut(pair, "=")
	name, err1 := url.QueryUnescape(name)
	value, err2 := url.QueryUnescape(value)
	if err1 != nil || err2 != nil {
		return formError("a percent-escape is broken")
	}
	return f.add(name, value, false)
}

// parseMultipart reads the fields of a multipart/form-data body (RFC 7578). It
// takes values as they are: RFC 7578 §4.7 deprecates Content-Transfer-Encoding.
func (f form) parseMultipart(body []byte, contentType string) error {
	if len(body) == 0 {
		return nil
	}
	boundary, err := boundaryOf(contentType)
	if err != nil {
		return err
	}
	if err := checkPartHeaders(body, "--"+boundary); err != nil {
		return err
	}
	if bytes.HasPrefix(body, []byte("--"+boundary+"--")) {
		return nil // no parts at all, which multipart.Reader takes for a preamble
	}
	mr := multipart.NewReader(bytes.NewReader(body), boundary)
	for n := 0; ; n++ {
		part, err := mr.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return formError("invalid multipart data")
		}
		if n == maxFormParts {
			return errTooLarge
		}
		if err := f.addPart(part); err != nil {
			return err
		}
	}
}

// boundaryOf returns the boundary of a multipart Content-Type header. A header in which another
// reader could see another boundary is malformed: one with two of them, or with the extended
// form boundary*= (RFC 2231), which Go prefers and others do not know.
func boundaryOf(contentType string) (string, error) {
	_, params, err := mime.ParseMediaType(contentType)
	boundary := params["boundary"]
	if err != nil || boundary == "" {
		return "", formError("multipart without a boundary")
	}
	seen := false
	for name := range parameterNames(contentType) {
		base, _, extended := strings.Cut(name, "*")
		if !strings.EqualFold(base, "boundary") {
			continue
		}
		if seen || extended {
			return "", formError("multipart with two boundaries, or an extended one")
		}
		seen = true
	}
	if !isBoundary(boundary) {
		return "", formError("a multipart boundary has 1 to 70 characters of RFC 2046")
	}
	return boundary, nil
}

// isBoundary reports whether text is a boundary by RFC 2046 §5.1.1.
func isBoundary(text string) bool {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'()+_,-./:=? "
	return text != "" && len(text) <= 70 && strings.Trim(text, allowed) == "" && !strings.HasSuffix(text, " ")
}

// parameterNames yields the names of the parameters of a media type, each as often as it
// occurs. [mime.ParseMediaType] must have accepted the media type.
func parameterNames(mediaType string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := indexUnquoted(mediaType, ';'); i >= 0; i = indexUnquoted(mediaType, ';') {
			mediaType = mediaType[i+1:]
			if name, _, _ := strings.Cut(mediaType, "="); !yield(strings.TrimSpace(name)) {
				return
			}
		}
	}
}

// indexUnquoted returns the first index of c in a header outside a quoted string (RFC 9110
// §5.6.4), or -1.
func indexUnquoted(header string, c byte) int {
	quoted := false
	for i := 0; i < len(header); i++ {
		switch {
		case header[i] == '"':
			quoted = !quoted
		case quoted && header[i] == '\\':
			i++
		case !quoted && header[i] == c:
			return i
		}
	}
	return -1
}

// checkPartHeaders refuses a multipart body in which a boundary or a header ends with a line
// feed alone, which RFC 2046 §5.1.1 does not allow and [multipart.Reader] does, or in which a
// part has more header than any form needs.
func checkPartHeaders(body []byte, delimiter string) error {
	inHeader, lines, size := false, 0, 0
	for line := range bytes.Lines(body) {
		isDelimiter := string(bytes.TrimRight(line, " \t\r\n")) == delimiter
		if (isDelimiter || inHeader) && !bytes.HasSuffix(line, []byte("\r\n")) {
			return formError("a multipart line must end with CR LF")
		}
		switch {
		case isDelimiter:
			inHeader, lines, size = true, 0, 0
		case len(line) == len("\r\n"):
			inHeader = false
		case inHeader:
			lines, size = lines+1, size+len(line)
		}
		if lines > maxPartHeaders || size > maxPartHeader {
			return formError("a part has too large a header")
		}
	}
	return nil
}

func (f form) addPart(part *multipart.Part) error {
	name, isFile, err := disposition(part)
	if err != nil {
		return err
	}
	value, err := io.ReadAll(part)
	if err != nil {
		return formError("a multipart body is cut off")
	}
	return f.add(name, string(value), isFile)
}

// disposition returns the field name of part and whether it is a file. The
// extended forms name*= and filename*= are refused: RFC 7578 §4.2 forbids them, and a proxy
// that does not know them would read another form.
func disposition(part *multipart.Part) (name string, isFile bool, err error) {
	headers := part.Header.Values("Content-Disposition")
	if len(headers) != 1 || strings.Contains(strings.ToLower(headers[0]), "name*") {
		return "", false, formError("a part needs one Content-Disposition header with a name")
	}
	kind, params, err := mime.ParseMediaType(headers[0])
	if err != nil || kind != "form-data" || params["name"] == "" {
		return "", false, formError("a part needs a Content-Disposition of form-data with a name")
	}
	_, isFile = params["filename"]
	return params["name"], isFile, nil
}
