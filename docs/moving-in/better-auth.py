"""Writes the hashes of better-auth as passlib writes scrypt. Other lines pass as they are.

    … | python3 better-auth.py > users.jsonl

better-auth stores the salt and the key in hex, and uses the hex of the salt as the salt:
scrypt with n=16384, r=16, p=1 and a key of 64 bytes.
"""

import base64
import json
import re
import sys


def b64(data):
    return base64.b64encode(data).decode().rstrip("=")


for line in sys.stdin:
    user = json.loads(line)
    if m := re.fullmatch("([0-9a-f]{32}):([0-9a-f]{128})", user["password_hash"] or ""):
        salt, key = m[1].encode(), bytes.fromhex(m[2])
        user["password_hash"] = f"$scrypt$ln=14,r=16,p=1${b64(salt)}${b64(key)}"
    print(json.dumps(user))
