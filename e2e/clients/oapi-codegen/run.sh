mkdir api
go tool oapi-codegen -generate types,client -package api -o api/api.go "$SPEC"
go vet ./...
go run .
