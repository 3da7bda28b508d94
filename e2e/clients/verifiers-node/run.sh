ln -s "$TOOLS/node_modules" .
node main.mjs
