// Notes is a service that verifies Latchkey's access tokens itself, with golang-jwt and keyfunc.
//
//	ISSUER=https://auth.example AUDIENCE=notes ADDR=localhost:9000 go run ./keyfunc
package main

import (
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

func main() {
	issuer := os.Getenv("ISSUER")
	keys, err := keyfunc.NewDefault([]string{issuer + "/.well-known/jwks.json"}) // fetches them every hour, too
	if err != nil {
		log.Fatal(err)
	}
	tokens := jwt.NewParser(
		jwt.WithValidMethods([]string{"ES256"}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(os.Getenv("AUDIENCE")),
		jwt.WithExpirationRequired(),
	)
	parse := func(text string) (user, error) {
		var u user
		_, err := tokens.ParseWithClaims(text, &u, keys.Keyfunc)
		return u, err
	}

	http.Handle("GET /notes/", needs(parse, "read", readNotes))
	log.Fatal(http.ListenAndServe(os.Getenv("ADDR"), nil))
}

// A user is whose token a request has.
type user struct {
	jwt.RegisteredClaims
	UID   string `json:"uid"`
	Scope string `json:"scope"`
}

// Validate is called when the dates, the issuer and the audience have been checked.
func (u user) Validate() error {
	if u.UID == "" {
		return errors.New("the token has no uid")
	}
	return nil
}

// needs calls next if the request's token is good and has the scope.
func needs(parse func(string) (user, error), scope string, next func(http.ResponseWriter, *http.Request, user)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			refuse(w, http.StatusUnauthorized, "Bearer")
			return
		}
		u, err := parse(text)
		if err != nil {
			log.Printf("a token is refused: %v", err)
			refuse(w, http.StatusUnauthorized, `Bearer error="invalid_token"`)
			return
		}
		if !slices.Contains(strings.Fields(u.Scope), scope) {
			refuse(w, http.StatusForbidden, `Bearer error="insufficient_scope", scope="`+scope+`"`)
			return
		}
		next(w, r, u)
	})
}

func refuse(w http.ResponseWriter, status int, challenge string) {
	w.Header().Set("WWW-Authenticate", challenge)
	http.Error(w, http.StatusText(status), status)
}

func readNotes(w http.ResponseWriter, _ *http.Request, u user) {
	w.Header().Set("Content-Type", "application/json")
	// Keep data by uid: names are reused.
	json.NewEncoder(w).Encode(map[string]any{"owner": u.UID, "name": u.Subject, "notes": []string{}})
}
