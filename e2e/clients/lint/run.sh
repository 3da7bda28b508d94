# What there is to say: paths end with a slash, as the original's do, and redocly takes an id that is
# empty for possible, which would make /users/me/sessions/{id} a user's sessions.
ln -s "$TOOLS/node_modules" .
node_modules/.bin/spectral lint --ruleset spectral.yaml --fail-severity hint "$SOURCE"
node_modules/.bin/redocly lint --extends recommended --skip-rule no-path-trailing-slash --skip-rule no-ambiguous-paths --format json "$SOURCE" >redocly.json
node -e 'const { totals } = require("./redocly.json"); if (totals.errors + totals.warnings) process.exit(1)' --input-type=commonjs
