"$TOOLS/python/bin/python" main.py
