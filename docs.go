package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"net/url"

	"github.com/swaggest/swgui/v5/static"
)

//go:embed openapi.json
var openAPI []byte

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
	w.Header().Set("Content-Security-Policy", ownPolicy)
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

// clientFile returns the operation that answers with the client for pages of one's own, or with its
// types. Pages of every origin may read them, as a browser demands for modules: whoever can reach
// this server can read them anyway, and what a page does with the client is still up to
// CORS_ORIGINS.
func clientFile(a asset) handlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, from client) error {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		return a.serve(ctx, w, r, from)
	}
}

var docsPage = embeddedFile{web, "web/docs.html", htmlText, "no-cache"}

// docsFiles are a script of ours and what the page needs of Swagger UI.
var docsFiles = map[string]embeddedFile{
	"docs.css":             {web, "web/docs.css", css, "no-cache"},
	"docs.js":              {web, "web/docs.js", javaScript, "no-cache"},
	"swagger-ui-bundle.js": {static.FS, "swagger-ui-bundle.js.gz", javaScript, aDay},
	"swagger-ui.css":       {static.FS, "swagger-ui.css.gz", css, aDay},
	"favicon-32x32.png":    {static.FS, "favicon-32x32.png", "image/png", aDay},
}
