package main

import (
	"context"
	"io"
	"net/http"
	"strings"
)

// ignoresBody is for operations that need no body. Some proxies announce a body that never
// comes: nginx's auth_request passes on the Content-Length of another request.
func ignoresBody(h handlerFunc) handlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, from client) error {
		r.Body = http.NoBody
		return h(ctx, w, r, from)
	}
}

// maxBody is how large the body of a request may be, in bytes.
const maxBody = 64 << 10

// readsBody is for operations that need a body. It refuses a body that is larger than maxBody,
// at once if the request says so, and a compressed one.
func readsBody(h handlerFunc) handlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, from client) error {
		if err := checkBody(r); err != nil {
			if r.Close && r.Header.Get("Expect") == "" {
				io.CopyN(io.Discard, r.Body, drainedBody)
			}
			return err
		}
		if r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		return h(ctx, w, r, from)
	}
}

// drainedBody is how much of a refused body is read, in bytes, if the client closes the
// connection after this request: net/http would close it at once, and a proxy that is still
// sending then, such as nginx, which speaks HTTP/1.0, would never see the answer.
const drainedBody = 256 << 10

// checkBody returns why the body of r is not read, or nil.
func checkBody(r *http.Request) error {
	if r.ContentLength > maxBody {
		return errTooLarge
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return errEncoded
	}
	if types := r.Header["Content-Type"]; len(types) > 1 || indexUnquoted(r.Header.Get("Content-Type"), ',') >= 0 {
		return errTwoTypes // the second may be joined to the first: RFC 9110 §5.3
	}
	return nil
}
