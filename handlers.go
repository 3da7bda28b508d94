package main

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
)

// createUser registers a user.
func createUser(acc *accounts) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := acc.admitRegistration(r.Context(), sender(r)); err != nil {
			return err
		}
		members, err := readObject(r)
		if err != nil {
			return err
		}
		req, err := parseNewUser(members, acc.minPasswordLength)
		if err != nil {
			return err
		}
		u, err := acc.register(r.Context(), req, sender(r))
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, u.response())
	}
}

// loginForAccessToken is the token endpoint of the resource owner password
// credentials grant (RFC 6749 §4.3) and of refresh tokens (§6). Without a grant_type
// it is a login, as in FastAPI.
func loginForAccessToken(acc *accounts) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		fields, err := readForm(r)
		if err != nil {
			return err
		}
		var tokens tokenResponse
		switch fields.values["grant_type"] {
		case "", "password":
			tokens, err = loginByForm(acc, r, fields)
		case "refresh_token":
			tokens, err = refreshByForm(acc, r, fields)
		default:
			err = errUnsupportedGrant
		}
		if err != nil {
			return err
		}
		tokens.Scope = grantedScope(fields)
		return writeJSON(w, http.StatusOK, tokens)
	}
}

func loginByForm(acc *accounts, r *http.Request, fields form) (tokenResponse, error) {
	login, err := parseLogin(fields)
	if err != nil {
		return tokenResponse{}, err
	}
	return acc.login(r.Context(), login, sender(r))
}

func refreshByForm(acc *accounts, r *http.Request, fields form) (tokenResponse, error) {
	token, err := tokenField(fields, "refresh_token")
	if err != nil {
		return tokenResponse{}, err
	}
	return acc.refresh(r.Context(), token, sender(r))
}

// revokeToken ends the session of a token (RFC 7009). The token shows its own kind;
// token_type_hint is ignored (§2.1).
func revokeToken(acc *accounts) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		fields, err := readForm(r)
		if err != nil {
			return err
		}
		token, err := tokenField(fields, "token")
		if err != nil {
			return err
		}
		if err := acc.revoke(r.Context(), token, sender(r)); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, struct{}{}) // clients parse it, though RFC 7009 §2.2 has them ignore it
	}
}

// root sends people to the documentation.
func root(w http.ResponseWriter, r *http.Request) error {
	redirect(w, r, "/docs", "")
	return nil
}

// readLivez says that the process runs. It asks nobody else: a restart would not
// bring a lost database back.
func readLivez(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, healthy)
}

// readReadyz says whether requests should be sent here.
func readReadyz(acc *accounts) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := acc.ready(r.Context()); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, healthy)
	}
}

// healthy is what health checks answer.
var healthy = map[string]string{"status": "ok"}

// readUsers is the original's GET /: every user, with the password hash. A page of
// another origin may not read it, nor one whose host's name has been pointed here
// (DNS rebinding), nor a client of a proxy.
func readUsers(acc *accounts) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !isLoopback((&url.URL{Host: r.Host}).Hostname()) || r.Header.Get("Origin") != "" || isForwarded(r) {
			return errNotLocal
		}
		users, err := acc.exposedUsers(r.Context())
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, users)
	}
}

// A userHandlerFunc is a handlerFunc for a signed-in user. The session is the zero one
// if the token was made elsewhere.
type userHandlerFunc func(w http.ResponseWriter, r *http.Request, u User, s Session) error

// authed calls h with the user and the session that the request's bearer token names. It
// reads the body first: a session that ends while somebody is slow to send it has ended.
func authed(acc *accounts, h userHandlerFunc) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		token, err := bearerToken(r.Header["Authorization"])
		if err != nil {
			return err
		}
		if r.Body != http.NoBody {
			body, err := readBody(r)
			if err != nil {
				return err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		u, s, err := acc.currentUser(r.Context(), token)
		if err != nil {
			return err
		}
		return h(w, r, u, s)
	}
}
