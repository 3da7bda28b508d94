# Imports the document as Postman does (with the setting "Parameter generation: Example"),
# and runs the exercise's three steps as imported: they need no change. Only the token has
# to be carried from one request to the next, which people do by hand.
ln -s "$TOOLS/node_modules" .
node_modules/.bin/openapi2postmanv2 -s "$SPEC" -o imported.json -O parametersResolution=Example
node run.js
