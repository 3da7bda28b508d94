package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

//go:embed web
var web embed.FS

// ownPolicy is the Content-Security-Policy of our pages: they run only what this server serves, and
// talk to nobody else. Swagger UI has its icons in data: URLs, and the account page its own.
const ownPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// An embeddedFile is a file in the program: where it is and how it is sent. One
// whose name ends with .gz is sent as it is to those who take gzip.
type embeddedFile struct {
	files        embed.FS
	name         string
	contentType  string
	cacheControl string
}

const (
	htmlText   = "text/html; charset=utf-8"
	javaScript = "text/javascript; charset=utf-8"
	typeScript = "application/typescript; charset=utf-8"
	css        = "text/css; charset=utf-8"
	aDay       = "public, max-age=86400"
)

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
	header.Set("Content-Type", f.contentType)
	header.Set("Cache-Control", f.cacheControl)
	io.Copy(w, body) // fails only if the client is gone
	return nil
}

// Browsers keep an asset, and ask at each use whether it has changed. It is built and compressed
// at its first request.
type asset struct {
	contentType string
	load        func() (loadedAsset, error) // runs once
}

// A loadedAsset has an entity tag for each of its forms (RFC 9110 §8.8.3.3).
type loadedAsset struct{ plain, gzipped taggedBytes }

type taggedBytes struct {
	bytes []byte
	tag   string
}

func newAsset(contentType string, build func() ([]byte, error)) asset {
	return asset{contentType, sync.OnceValues(func() (loadedAsset, error) {
		plain, err := build()
		if err != nil {
			return loadedAsset{}, err
		}
		sum := sha256.Sum256(plain)
		tag := hex.EncodeToString(sum[:8])
		return loadedAsset{taggedBytes{plain, `"` + tag + `"`}, taggedBytes{compress(plain), `"` + tag + `-gzip"`}}, nil
	})}
}

// webAsset returns a file of the folder web.
func webAsset(name, contentType string) asset {
	return newAsset(contentType, func() ([]byte, error) { return web.ReadFile("web/" + name) })
}

func compress(plain []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // fails only if the level is unknown
	z.Write(plain)
	z.Close()
	return b.Bytes()
}

// serve answers with the asset.
func (a asset) serve(_ context.Context, w http.ResponseWriter, r *http.Request, _ client) error {
	loaded, err := a.load()
	if err != nil {
		return err
	}
	body, header := loaded.plain, w.Header()
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		body = loaded.gzipped
		header.Set("Content-Encoding", "gzip")
	}
	header.Add("Vary", "Accept-Encoding")
	header.Set("Content-Type", a.contentType)
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", body.tag)
	r.Header.Del("Range") // a part of a compressed file is of no use
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body.bytes))
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
