"$TOOLS/python/bin/openapi-python-client" generate --path "$SPEC" --meta none --output-path api
"$TOOLS/python/bin/mypy" --strict main.py
"$TOOLS/python/bin/python" main.py
