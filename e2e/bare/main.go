// Command bare is what Latchkey is measured against: a net/http server without
// anything, that writes the bytes it is given.
//
//	bare ANSWER.json    where ANSWER.json is {"header":{…},"body":"…"}
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
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
	body := []byte(answer.Body)
	log.Fatal(http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		maps.Copy(header, answer.Header)
		w.Write(body)
	})))
}
