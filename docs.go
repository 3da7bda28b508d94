package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/swaggest/swgui/v5/static"
)

//go:embed openapi.json
var openAPI []byte

//go:embed web
var web embed.FS

// docsPolicy is the Content-Security-Policy of the documentation: it runs only
// what this server serves, and talks to nobody else. Swagger UI has its icons
// in data: URLs.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// readOpenAPI answers with the description of the API (OpenAPI 3.1). Its server is ".",
// the folder that the document is in, as a proxy that adds a prefix needs. Postman and
// most generators do not resolve that, so a request that comes straight from this machine
// gets the address it was sent to.
func readOpenAPI(_ context.Context, w http.ResponseWriter, r *http.Request, _ client) error {
	w.Header()["Content-Type"] = jsonContentType
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(bytes.Replace(openAPI, []byte(`"url": "."`), serverURL(r), 1))
	return nil
}

// serverURL returns the member of the document that says where the API is.
func serverURL(r *http.Request) []byte {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	address, err := url.Parse(scheme + "://" + r.Host)
	if err != nil || !isLoopback(address.Hostname()) || isForwarded(r) {
		return []byte(`"url": "."`)
	}
	return fmt.Appendf(nil, `"url": %q`, address.String())
}

// readDocs answers with the documentation page.
func readDocs(_ context.Context, w http.ResponseWriter, r *http.Request, _ client) error {
	w.Header().Set("Content-Security-Policy", docsPolicy)
	return docsPage.write(w, r)
}

// readDocsFile answers with a file that the documentation page loads.
func readDocsFile(_ context.Context, w http.ResponseWriter, r *http.Request, _ client) error {
	file, ok := docsFiles[r.PathValue("file")]
	if !ok {
		return errNotFound
	}
	return file.write(w, r)
}

// clientFiles are the client for pages of one's own, and its types. Their URLs have no version.
var clientFiles = map[string]taggedFile{
	"/latchkey.js":   tagged(embeddedFile{web, "web/latchkey.js", javaScript, "no-cache"}),
	"/latchkey.d.ts": tagged(embeddedFile{web, "web/latchkey.d.ts", "application/typescript; charset=utf-8", "no-cache"}),
}

// readClientFile answers with the client or with its types. Pages of every origin may read them,
// as a browser demands for modules: whoever can reach this server can read them anyway, and what a
// page does with the client is still up to CORS_ORIGINS.
func readClientFile(_ context.Context, w http.ResponseWriter, r *http.Request, _ client) error {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	return clientFiles[r.URL.Path].write(w, r)
}

// An embeddedFile is a file in the program: where it is and how it is sent. One
// whose name ends with .gz is sent as it is to those who take gzip.
type embeddedFile struct {
	files        embed.FS
	name         string
	contentType  string
	cacheControl string
}

const (
	javaScript = "text/javascript; charset=utf-8"
	css        = "text/css; charset=utf-8"
	aDay       = "public, max-age=86400"
)

var docsPage = embeddedFile{web, "web/docs.html", "text/html; charset=utf-8", "no-cache"}

// docsFiles are a script of ours and what the page needs of Swagger UI.
var docsFiles = map[string]embeddedFile{
	"docs.css":             {web, "web/docs.css", css, "no-cache"},
	"docs.js":              {web, "web/docs.js", javaScript, "no-cache"},
	"swagger-ui-bundle.js": {static.FS, "swagger-ui-bundle.js.gz", javaScript, aDay},
	"swagger-ui.css":       {static.FS, "swagger-ui.css.gz", css, aDay},
	"favicon-32x32.png":    {static.FS, "favicon-32x32.png", "image/png", aDay},
}

func (f embeddedFile) write(w http.ResponseWriter, r *http.Request) error {
	file, err := f.files.Open(f.name)
	if err != nil {
		return err
	}
	body, header := io.Reader(file), w.Header()
	if strings.HasSuffix(f.name, ".gz") {
		header.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			header.Set("Content-Encoding", "gzip")
		} else if body, err = gzip.NewReader(file); err != nil {
			return err
		}
	}
	f.describe(header)
	io.Copy(w, body) // fails only if the client is gone
	return nil
}

func (f embeddedFile) describe(header http.Header) {
	header.Set("Content-Type", f.contentType)
	header.Set("Cache-Control", f.cacheControl)
}

// A taggedFile is an embeddedFile with an entity tag, by which caches ask whether it has changed.
type taggedFile struct {
	embeddedFile
	load func() (taggedText, error) // once
}

type taggedText struct {
	text []byte
	tag  string
}

func tagged(f embeddedFile) taggedFile {
	return taggedFile{f, sync.OnceValues(func() (taggedText, error) {
		text, err := f.files.ReadFile(f.name)
		sum := sha256.Sum256(text)
		return taggedText{text, fmt.Sprintf("%q", hex.EncodeToString(sum[:8]))}, err
	})}
}

func (f taggedFile) write(w http.ResponseWriter, r *http.Request) error {
	loaded, err := f.load()
	if err != nil {
		return err
	}
	f.describe(w.Header())
	w.Header().Set("ETag", loaded.tag)
	r.Header.Del("Range") // nobody needs a part
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(loaded.text))
	return nil
}

// acceptsGzip reports whether an Accept-Encoding header allows gzip
// (RFC 9110 §12.5.3).
func acceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			_, q, _ := strings.Cut(weight, "=")
			return strings.Trim(q, " 0.") != "" || q == ""
		}
	}
	return false
}
