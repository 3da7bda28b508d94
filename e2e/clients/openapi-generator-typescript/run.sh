ln -s "$TOOLS/node_modules" .
java -jar "$TOOLS"/java/openapi-generator-cli-*.jar generate -i "$SPEC" -g typescript-fetch -o api \
	--additional-properties=importFileExtension=.js >generate.log
node_modules/.bin/tsc -p .
node out/main.js
