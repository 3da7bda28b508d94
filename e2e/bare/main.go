// Command bare is what Latchkey is measured against: a net/http server without
// anything, that writes the bytes it is given, or with a database the user whom it
// finds there by one indexed SELECT.
//
//	bare ANSWER.json [DATABASE_URL]    where ANSWER.json is {"header":{…},"body":"…"}
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var answer struct {
		Header http.Header
		Body   string
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ln.Addr())
	if len(os.Args) > 2 {
		log.Fatal(http.Serve(ln, readUser(os.Args[2])))
	}
	body := []byte(answer.Body)
	log.Fatal(http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		maps.Copy(header, answer.Header)
		w.Write(body)
	})))
}

// readUser answers with one of the first 1,000 users after another.
func readUser(url string) http.HandlerFunc {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		log.Fatal(err)
	}
	cfg.MaxConns = 10 // as many as Latchkey
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		log.Fatal(err)
	}
	var next atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		var user struct {
			Username string  `json:"username"`
			Email    *string `json:"email"`
			FullName *string `json:"full_name"`
		}
		err := pool.QueryRow(r.Context(), "SELECT username, email, full_name FROM users WHERE id = $1", 1+next.Add(1)%1000).
			Scan(&user.Username, &user.Email, &user.FullName)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(user)
	}
}
