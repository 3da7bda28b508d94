"$TOOLS/python/bin/python" -W ignore main.py # Authlib says that joserfc comes after its own module
