// Notes is a service that verifies Latchkey's access tokens itself, with go-oidc.
//
//	ISSUER=https://auth.example AUDIENCE=notes ADDR=localhost:9000 go run ./oidc
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

func main() {
	// The verifier keeps this client, with which it fetches keys later.
	ctx := oidc.ClientContext(context.Background(), &http.Client{Timeout: 5 * time.Second})
	provider, err := oidc.NewProvider(ctx, os.Getenv("ISSUER")) // fails if Latchkey does not answer
	if err != nil {
		log.Fatal(err)
	}
	tokens := provider.Verifier(&oidc.Config{ClientID: os.Getenv("AUDIENCE")})

	http.Handle("GET /notes/", needs(tokens, "read", readNotes))
	log.Fatal(http.ListenAndServe(os.Getenv("ADDR"), nil))
}

// A user is whose token a request has.
type user struct {
	UID   string `json:"uid"`
	Name  string `json:"sub"`
	Scope string `json:"scope"`
}

// needs calls next if the request's token is good and has the scope.
func needs(tokens *oidc.IDTokenVerifier, scope string, next func(http.ResponseWriter, *http.Request, user)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			refuse(w, http.StatusUnauthorized, "Bearer")
			return
		}
		var u user
		token, err := tokens.Verify(r.Context(), text) // it is no ID token, but is checked like one
		if err == nil {
			err = token.Claims(&u)
		}
		if err != nil || u.UID == "" {
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
	json.NewEncoder(w).Encode(map[string]any{"owner": u.UID, "name": u.Name, "notes": []string{}})
}
