module latchkey

go 1.26.0

// Tokens and passwords.
require (
	github.com/golang-jwt/jwt/v5 v5.3.1
	github.com/hashicorp/golang-lru/v2 v2.0.7
	golang.org/x/crypto v0.58.0
)

// Names and e-mail addresses in Unicode.
require (
	golang.org/x/net v0.62.0
	golang.org/x/text v0.43.0
)

// HTTP: other origins, and the documentation page.
require (
	github.com/rs/cors v1.11.1
	github.com/swaggest/swgui v1.8.5
)
