package main

import (
	"errors"
	"maps"
	"mime"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

const (
	urlEncoded    = "application/x-www-form-urlencoded"
	multipartType = "multipart/form-data; boundary=XbX"
)

// A part is one part of a multipart body: its header lines and its value.
type part struct{ header, value string }

func field(name, value string) part {
	return part{`Content-Disposition: form-data; name="` + name + `"`, value}
}

// multipartBody writes parts as browsers do.
func multipartBody(parts ...part) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("--XbX\r\n" + p.header + "\r\n\r\n" + p.value + "\r\n")
	}
	return b.String() + "--XbX--\r\n"
}

func TestParseForm(t *testing.T) {
	u, p := field("username", "alice"), field("password", "p q")
	good := map[string]string{"username": "alice", "password": "p q"}
	none := map[string]string{}
	for _, tt := range []struct {
		name, contentType, body string
		want                    map[string]string // nil: refused
	}{
		{"urlencoded", urlEncoded, "username=alice&password=p+q", good},
		{"urlencoded, with %20", urlEncoded, "username=alice&password=p%20q", good},
		{"urlencoded, with %2B", urlEncoded, "password=p%2Bq", map[string]string{"password": "p+q"}},
		{"a charset in capitals", "Application/X-WWW-Form-Urlencoded; Charset=UTF-8", "username=alice&password=p+q", good},
		{"another charset is not believed", urlEncoded + "; charset=latin1", "x=%e9", map[string]string{"x": "\xe9"}},
		{"raw UTF-8", urlEncoded, "x=é", map[string]string{"x": "é"}},
		{"a NUL", urlEncoded, "x=a%00b", map[string]string{"x": "a\x00b"}},
		{"empty pairs", urlEncoded, "&&username=alice&&password=p+q&", good},
		{"no value", urlEncoded, "x", map[string]string{"x": ""}},
		{"no name", urlEncoded, "=x", map[string]string{"": "x"}},
		{"a second equals sign", urlEncoded, "x=a=b", map[string]string{"x": "a=b"}},
		{"a semicolon is no separator", urlEncoded, "x=a;y=b", map[string]string{"x": "a;y=b"}},
		{"names in another case are other names", urlEncoded, "x=1&X=2", map[string]string{"x": "1", "X": "2"}},
		{"a byte order mark belongs to the name", urlEncoded, "\ufeffx=1", map[string]string{"\ufeffx": "1"}},
		{"nothing", urlEncoded, "", none},
		{"100 fields", urlEncoded, manyFields(100), fieldsOf(manyFields(100))},
		{"101 fields", urlEncoded, manyFields(101), nil},
		{"10,001 fields", urlEncoded, manyFields(10_001), nil},
		{"a broken escape", urlEncoded, "username=%zz&password=p", nil},
		{"a cut escape", urlEncoded, "username=alice&password=%2", nil},
		{"a lone percent sign", urlEncoded, "username=%&password=p", nil},
		{"a broken escape in a name", urlEncoded, "%zz=1&password=p", nil},
		{"a field twice", urlEncoded, "x=1&y=2&x=1", nil},
		{"a field twice, once escaped", urlEncoded, "x=1&%78=1", nil},

		{"another type", "text/plain", "username=alice&password=p+q", none},
		{"JSON", "application/json", `{"username":"alice"}`, none},
		{"no type", "", "username=alice&password=p+q", none},
		{"multipart/mixed", "multipart/mixed; boundary=XbX", multipartBody(u, p), none},

		{"multipart", multipartType, multipartBody(u, p), good},
		{"multipart, quoted boundary", `multipart/form-data; boundary="XbX"`, multipartBody(u, p), good},
		{"multipart with a preamble", multipartType, "hello\r\n" + multipartBody(u, p), good},
		{"multipart with an epilogue", multipartType, multipartBody(u, p) + "hello", good},
		{"multipart without a last line end", multipartType, strings.TrimSuffix(multipartBody(u, p), "\r\n"), good},
		{"multipart of nothing", multipartType, "", none},
		{"multipart without parts", multipartType, "--XbX--\r\n", none},
		{"an empty value", multipartType, multipartBody(field("x", "")), map[string]string{"x": ""}},
		{"a value with line ends", multipartType, multipartBody(field("x", "a\nb\r\nc")), map[string]string{"x": "a\nb\r\nc"}},
		{"a name without quotes", multipartType, multipartBody(part{"Content-Disposition: form-data; name=username", "alice"}, p), good},
		{"a header in other letters", multipartType, multipartBody(part{`content-disposition: FORM-DATA; NAME="username"`, "alice"}, p), good},
		{"other headers", multipartType, multipartBody(part{"X: y\r\n" + u.header, "alice"}, p), good},
		{"a transfer encoding is not decoded", multipartType, multipartBody(part{"Content-Transfer-Encoding: quoted-printable\r\n" + u.header, "=41"}), map[string]string{"username": "=41"}},
		{"base64 is not decoded", multipartType, multipartBody(part{"Content-Transfer-Encoding: base64\r\n" + u.header, "QQ=="}), map[string]string{"username": "QQ=="}},
		{"a charset is not decoded", multipartType, multipartBody(part{u.header + "\r\nContent-Type: text/plain; charset=utf-16", "alice"}, p), good},
		{"single quotes belong to the name", multipartType, multipartBody(part{"Content-Disposition: form-data; name='x'", "1"}), map[string]string{"'x'": "1"}},
		{"20 parts", multipartType, manyParts(20), fieldsOf(manyFields(20))},
		{"21 parts", multipartType, manyParts(21), nil},
		{"1,001 parts", multipartType, manyParts(1001), nil},
		{"no boundary", "multipart/form-data", multipartBody(u, p), nil},
		{"an empty boundary", "multipart/form-data; boundary=", multipartBody(u, p), nil},
		{"another boundary", "multipart/form-data; boundary=YbY", multipartBody(u, p), nil},
		{"line feeds only", multipartType, strings.ReplaceAll(multipartBody(u, p), "\r\n", "\n"), nil},
		{"line feeds and blanks behind the boundary", multipartType, "--XbX \nContent-Disposition: form-data; name=\"x\"\n\n1\n--XbX--\n", nil},
		{"line feeds in the header only", multipartType, "--XbX\r\nContent-Disposition: form-data; name=\"x\"\n\n1\r\n--XbX--\r\n", nil},
		{"a value with something like a boundary", multipartType, multipartBody(field("x", "a--XbX\nb")), map[string]string{"x": "a--XbX\nb"}},
		{"a boundary of 70 characters", "multipart/form-data; boundary=" + longBoundary, withBoundary(longBoundary), map[string]string{"x": "1"}},
		{"a boundary of 71 characters", "multipart/form-data; boundary=a" + longBoundary, withBoundary("a" + longBoundary), nil},
		{"a boundary of 7,000 characters", "multipart/form-data; boundary=" + strings.Repeat("a", 7000), withBoundary(strings.Repeat("a", 7000)), nil},
		{"a boundary of all characters", `multipart/form-data; boundary="a'()+_,-./:=? z"`, withBoundary("a'()+_,-./:=? z"), map[string]string{"x": "1"}},
		{"a boundary that ends with a space", `multipart/form-data; boundary="XbX "`, withBoundary("XbX "), nil},
		{"a boundary of a space", `multipart/form-data; boundary=" "`, withBoundary(" "), nil},
		{"a boundary with a hash", "multipart/form-data; boundary=X#X", withBoundary("X#X"), nil},
		{"a boundary with a quote", `multipart/form-data; boundary="X\"X"`, withBoundary(`X"X`), nil},
		{"a boundary with a tab", "multipart/form-data; boundary=\"X\tX\"", withBoundary("X\tX"), nil},
		{"a boundary in UTF-8", `multipart/form-data; boundary="é"`, withBoundary("é"), nil},
		{"an empty boundary in quotes", `multipart/form-data; boundary=""`, withBoundary(""), nil},
		{"a boundary of WebKit", "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW", withBoundary("----WebKitFormBoundary7MA4YWxkTrZu0gW"), map[string]string{"x": "1"}},
		{"a boundary of Firefox", "multipart/form-data; boundary=----geckoformboundary1f2e", withBoundary("----geckoformboundary1f2e"), map[string]string{"x": "1"}},
		{"a boundary like a parameter", `multipart/form-data; boundary="a;boundary=b"`, withBoundary("a;boundary=b"), nil},
		{"a boundary beside another parameter", multipartType + "; charset=utf-8", multipartBody(u, p), good},
		{"a boundary and a semicolon", multipartType + ";", multipartBody(u, p), good},
		{"a boundary in capitals", "Multipart/Form-Data; BOUNDARY=XbX", multipartBody(u, p), good},
		{"a boundary within another parameter", `multipart/form-data; x="; boundary=YbY"; boundary=XbX`, multipartBody(u, p), good},
		{"a boundary twice", multipartType + "; boundary=XbX", multipartBody(u, p), nil},
		{"a boundary twice, once in capitals", multipartType + "; Boundary=XbX", multipartBody(u, p), nil},
		{"two boundaries", multipartType + "; boundary=YbY", multipartBody(u, p), nil},
		{"an extended boundary", "multipart/form-data; boundary*=utf-8''XbX", multipartBody(u, p), nil},
		{"an extended boundary beside one", "multipart/form-data; boundary=YbY; boundary*=utf-8''XbX", multipartBody(u, p), nil},
		{"an extended boundary before one", "multipart/form-data; boundary*=utf-8''XbX; boundary=YbY", multipartBody(u, p), nil},
		{"a boundary in two pieces", "multipart/form-data; boundary*0=Xb; boundary*1=X", multipartBody(u, p), nil},
		{"a boundary in one piece", "multipart/form-data; boundary*0=XbX", multipartBody(u, p), nil},
		{"a boundary and pieces of one", "multipart/form-data; boundary=YbY; boundary*0=XbX", multipartBody(u, p), nil},
		{"a part with a header of 60 KiB", multipartType, multipartBody(part{u.header + "\r\nX-A: " + strings.Repeat("a", 60<<10), "alice"}, p), nil},
		{"a part with a name of 5 KiB", multipartType, multipartBody(field(strings.Repeat("a", 5<<10), "alice"), p), nil},
		{"a part with a long file name", multipartType, multipartBody(u, p, part{`Content-Disposition: form-data; name="f"; filename="` + strings.Repeat("a", 1000) + `"`, "x"}), good},
		{"a part with 17 headers", multipartType, multipartBody(part{u.header + strings.Repeat("\r\nX-A: a", 16), "alice"}, p), nil},
		{"parts with 15 headers", multipartType, multipartBody(part{u.header + strings.Repeat("\r\nX-A: a", 14), "alice"}, part{p.header + strings.Repeat("\r\nX-A: a", 14), "p q"}), good},
		{"a part with 5,000 headers", multipartType, multipartBody(part{u.header + strings.Repeat("\r\nX-A: a", 5000), "alice"}, p), nil},
		{"the last part with 5,000 headers", multipartType, multipartBody(u, part{p.header + strings.Repeat("\r\nA: a", 5000), "p q"}), nil},
		{"a value of 5,000 lines", multipartType, multipartBody(field("x", strings.Repeat("a\r\n", 5000))), map[string]string{"x": strings.Repeat("a\r\n", 5000)}},
		{"no last boundary", multipartType, strings.TrimSuffix(multipartBody(u, p), "--XbX--\r\n"), nil},
		{"a cut last boundary", multipartType, strings.TrimSuffix(multipartBody(u, p), "-\r\n"), nil},
		{"cut in a value", multipartType, multipartBody(u, p)[:90], nil},
		{"cut in a header", multipartType, "--XbX\r\nContent-Dispos", nil},
		{"a part without headers", multipartType, multipartBody(u, p, part{"", "x"}), nil},
		{"a part without a disposition", multipartType, multipartBody(u, p, part{"Content-Type: text/plain", "x"}), nil},
		{"a part without a name", multipartType, multipartBody(u, p, part{"Content-Disposition: form-data", "x"}), nil},
		{"a part with an empty name", multipartType, multipartBody(u, p, field("", "x")), nil},
		{"an attachment", multipartType, multipartBody(part{`Content-Disposition: attachment; name="username"`, "alice"}, p), nil},
		{"two dispositions", multipartType, multipartBody(part{u.header + "\r\n" + p.header, "alice"}), nil},
		{"two names", multipartType, multipartBody(part{u.header + `; name="password"`, "alice"}), nil},
		{"an extended name", multipartType, multipartBody(part{"Content-Disposition: form-data; name*=utf-8''username", "alice"}, p), nil},
		{"an extended file name", multipartType, multipartBody(part{p.header + "; filename*=utf-8''p", "x"}), nil},
		{"a name with a line end", multipartType, multipartBody(part{"Content-Disposition: form-data; name=\"user\r\nname\"", "alice"}), nil},
		{"a field twice, multipart", multipartType, multipartBody(u, p, u), nil},
		{"a field as a value and as a file", multipartType, multipartBody(u, p, part{p.header + `; filename="p"`, "x"}), nil},
		{"a field as a file and as a value", multipartType, multipartBody(u, part{p.header + `; filename="p"`, "x"}, p), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := parseForm(tt.contentType, []byte(tt.body))
			_, malformed := errors.AsType[formError](err)
			switch {
			case tt.want == nil && !malformed && err != errTooLarge:
				t.Errorf("parseForm = %q, %v; want it refused", f.values, err)
			case tt.want != nil && (err != nil || !maps.Equal(f.values, tt.want)):
				t.Errorf("parseForm = %q, %v; want %q", f.values, err, tt.want)
			}
		})
	}
}

// longBoundary is as long as a boundary may be.
var longBoundary = strings.Repeat("b", 70)

// withBoundary is a multipart body with the field x.
func withBoundary(boundary string) string {
	return strings.ReplaceAll(multipartBody(field("x", "1")), "XbX", boundary)
}

func manyFields(n int) string {
	var names []string
	for i := range n {
		names = append(names, "f"+string(rune('A'+i%26))+strings.Repeat("x", i/26)+"=1")
	}
	return strings.Join(names, "&")
}

func manyParts(n int) string {
	var parts []part
	for pair := range strings.SplitSeq(manyFields(n), "&") {
		name, value, _ := strings.Cut(pair, "=")
		parts = append(parts, field(name, value))
	}
	return multipartBody(parts...)
}

func fieldsOf(body string) map[string]string {
	values, _ := url.ParseQuery(body)
	fields := make(map[string]string)
	for name := range values {
		fields[name] = values.Get(name)
	}
	return fields
}

func TestFileIsNoValue(t *testing.T) {
	for _, filename := range []string{`; filename="p.txt"`, `; filename=""`, `; filename=p`} {
		p := field("password", "secret")
		f, err := parseForm(multipartType, []byte(multipartBody(part{p.header + filename, p.value})))
		if _, isValue := f.values["password"]; err != nil || isValue || !f.files["password"] {
			t.Errorf("%s: form %v, %v; want a file", filename, f, err)
		}
	}
}

// FuzzURLEncoded: what is accepted is what net/url sees, once a semicolon is
// escaped.
func FuzzURLEncoded(f *testing.F) {
	for _, body := range []string{"username=a&password=p+q", "x=%zz", "a=1&a=2", "&=&", "x=a;y=b", "x=%00%ff"} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := parseForm(urlEncoded, []byte(body))
		if err != nil {
			return
		}
		want, err := url.ParseQuery(strings.ReplaceAll(body, ";", "%3B"))
		if err != nil || len(want) != len(got.values) {
			t.Fatalf("%q: %q; net/url sees %q, %v", body, got.values, want, err)
		}
		for name, value := range got.values {
			if len(want[name]) != 1 || want.Get(name) != value {
				t.Errorf("%q: %q is %q; net/url sees %q", body, name, value, want[name])
			}
		}
	})
}

// FuzzBoundary: a boundary that is taken is one by RFC 2046, the one that net/http would take,
// and the only one in the header.
func FuzzBoundary(f *testing.F) {
	for _, contentType := range []string{
		multipartType, `multipart/form-data; boundary="a;boundary=b"`, "multipart/form-data; boundary=a; boundary*=utf-8''b", "a/b; boundary*0=a; boundary*1=b",
		`multipart/form-data; x="\"; boundary=a"; boundary=b; BOUNDARY=b`, "multipart/form-data; boundary = a ;", "0;BoundArY=0;*=utf-8''0",
	} {
		f.Add(contentType)
	}
	valid := regexp.MustCompile(`^[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]$`)
	f.Fuzz(func(t *testing.T, contentType string) {
		got, err := boundaryOf(contentType)
		if err != nil {
			return
		}
		if !valid.MatchString(got) {
			t.Errorf("%q has the boundary %q", contentType, got)
		}
		essence, params, err := mime.ParseMediaType(contentType)
		if err != nil || params["boundary"] != got {
			t.Errorf("%q has the boundary %q, and %q for net/http: %v", contentType, got, params["boundary"], err)
		}
		written := mime.FormatMediaType(essence, params) // "" if it has a parameter without a name
		if again, err := boundaryOf(written); written != "" && (err != nil || again != got) {
			t.Errorf("%q has the boundary %q, and written again %q, %v", contentType, got, again, err)
		}
		if _, err := boundaryOf(contentType + ";boundary=b"); err == nil {
			t.Errorf("%q may have another boundary", contentType)
		}
	})
}

// FuzzMultipart: what is read of a body that is accepted stands in it, and reads
// the same if it is written again.
func FuzzMultipart(f *testing.F) {
	f.Add(multipartBody(field("username", "a"), field("password", "p")))
	f.Add(multipartBody(part{`Content-Disposition: form-data; name="f"; filename="x"`, "y"}))
	f.Add("--XbX\nContent-Disposition: form-data; name=x\n\n1\n--XbX--\n")
	f.Add("--XbX--")
	f.Fuzz(func(t *testing.T, body string) {
		got, err := parseForm(multipartType, []byte(body))
		if err != nil {
			return
		}
		if n := strings.Count(body, "--XbX") - 1; len(got.values)+len(got.files) > max(n, 0) {
			t.Errorf("%q: %d fields from %d parts", body, len(got.values)+len(got.files), n)
		}
		var parts []part
		for name, value := range got.values {
			if !strings.Contains(body, value) {
				t.Errorf("%q: the value %q of %q is not in it", body, value, name)
			}
			if strings.ContainsAny(name, "\"\\\r\n") || strings.Contains(value, "--XbX") || strings.Contains(name, "name*") {
				return // multipartBody knows no escapes
			}
			parts = append(parts, field(name, value))
		}
		again, err := parseForm(multipartType, []byte(multipartBody(parts...)))
		if err != nil || !maps.Equal(again.values, got.values) {
			t.Errorf("%q gives %q, and written again %q, %v", body, got.values, again.values, err)
		}
	})
}
