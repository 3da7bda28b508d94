java -jar "$TOOLS"/java/openapi-generator-cli-*.jar generate -i "$SPEC" -g python -o api >generate.log
ln -s api/openapi_client .
"$TOOLS/python/bin/mypy" main.py
"$TOOLS/python/bin/python" main.py
