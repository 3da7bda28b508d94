# TypeScript takes the types of latchkey.js by the lines of docs/browser.md, refuses what is wrong, and
# finds that the module itself is what its types say.
eval "$PASTED"
echo "$CONFIG" >paths.json
cp "$MODULE" module.js
cat >tsconfig.json <<'JSON'
{
  "extends": "./paths.json",
  "compilerOptions": {
    "target": "es2022", "module": "es2022", "moduleResolution": "bundler", "lib": ["es2022", "dom", "dom.iterable"],
    "types": [], "strict": true, "noEmit": true, "allowJs": true
  },
  "files": ["right.ts", "wrong.ts", "same.ts"]
}
JSON
"$TOOLS/node_modules/.bin/tsc" -p .
