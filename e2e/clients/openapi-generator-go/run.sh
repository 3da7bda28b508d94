java -jar "$TOOLS"/java/openapi-generator-cli-*.jar generate -i "$SPEC" -g go -o api \
	--package-name api --additional-properties=withGoMod=false --global-property=apiTests=false,modelTests=false >generate.log
rm -rf api/test
go vet ./...
go run .
