ln -s "$TOOLS/node_modules" .
node_modules/.bin/openapi-ts -i "$SPEC" -o api --no-log-file
node_modules/.bin/tsc -p .
node out/main.js
