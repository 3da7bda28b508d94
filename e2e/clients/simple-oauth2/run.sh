ln -s "$TOOLS/node_modules" .
node_modules/.bin/tsc -p .
node out/main.js
