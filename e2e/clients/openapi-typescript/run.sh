# openapi-typescript writes the types, openapi-fetch uses them.
ln -s "$TOOLS/node_modules" .
node_modules/.bin/openapi-typescript "$SPEC" -o schema.ts
node_modules/.bin/tsc -p .
node out/main.js
