package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

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

// A text is what browsers keep, and ask each time whether it has changed: a page, a script, a style.
// It is made and compressed when somebody first asks for it.
type text struct {
	contentType string
	load        func() (loadedText, error) // once
}

// A loadedText has an entity tag for each form of the text (RFC 9110 §8.8.3.3).
type loadedText struct{ plain, gzipped taggedBytes }

type taggedBytes struct {
	bytes []byte
	tag   string
}

func newText(contentType string, make func() ([]byte, error)) text {
	return text{contentType, sync.OnceValues(func() (loadedText, error) {
		plain, err := make()
		if err != nil {
			return loadedText{}, err
		}
		sum := sha256.Sum256(plain)
		tag := hex.EncodeToString(sum[:8])
		return loadedText{taggedBytes{plain, `"` + tag + `"`}, taggedBytes{compress(plain), `"` + tag + `-gzip"`}}, nil
	})}
}

// webText returns a file of the folder web.
func webText(name, contentType string) text {
	return newText(contentType, func() ([]byte, error) { return web.ReadFile("web/" + name) })
}

func compress(plain []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // fails only for a level that there is not
	z.Write(plain)
	z.Close()
	return b.Bytes()
}

func (t text) write(w http.ResponseWriter, r *http.Request) error {
	loaded, err := t.load()
	if err != nil {
		return err
	}
	body, header := loaded.plain, w.Header()
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		body = loaded.gzipped
		header.Set("Content-Encoding", "gzip")
	}
	header.Add("Vary", "Accept-Encoding")
	header.Set("Content-Type", t.contentType)
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", body.tag)
	r.Header.Del("Range") // nobody needs a part
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
