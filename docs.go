package main

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

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

// readOpenAPI answers with the description of the API (OpenAPI 3.1).
func readOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header()["Content-Type"] = jsonContentType
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(openAPI)
	return nil
}

// readDocs answers with the page that shows it.
func readDocs(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Security-Policy", docsPolicy)
	return writeFile(w, web, "web/docs.html", "no-cache")
}

// readDocsFile answers with a file that the page loads: a script of ours, or a
// part of Swagger UI, which is embedded in gzip.
func readDocsFile(w http.ResponseWriter, r *http.Request) error {
	const day = "public, max-age=86400"
	switch name := r.PathValue("file"); name {
	case "docs.js":
		return writeFile(w, web, "web/docs.js", "no-cache")
	case "favicon-32x32.png":
		return writeFile(w, static.FS, name, day)
	case "swagger-ui-bundle.js", "swagger-ui.css":
		w.Header().Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			w.Header().Set("Content-Encoding", "gzip")
			return writeFile(w, static.FS, name+".gz", day)
		}
		return writeFile(w, unzipped{static.FS}, name, day)
	}
	return errNotFound
}

// writeFile answers with an embedded file.
func writeFile(w http.ResponseWriter, files fs.ReadFileFS, name, cacheControl string) error {
	body, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(strings.TrimSuffix(name, ".gz"))))
	w.Header().Set("Cache-Control", cacheControl)
	w.Write(body)
	return nil
}

// unzipped shows the *.gz files of an FS without that ending.
type unzipped struct{ fs.ReadFileFS }

func (u unzipped) ReadFile(name string) ([]byte, error) {
	zipped, err := u.ReadFileFS.ReadFile(name + ".gz")
	if err != nil {
		return nil, err
	}
	r, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
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
