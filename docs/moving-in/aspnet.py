"""Writes the hashes of ASP.NET Identity as passlib writes PBKDF2.

    … | python3 aspnet.py > users.jsonl

The base64 of version 3, which is ASP.NET Core's, has in it: 1, the hash function, the rounds and
the size of the salt in four bytes each, salt, key. Version 2 has: 0, salt, key of SHA-1.
"""

import base64
import json
import struct
import sys

PRFS = [("pbkdf2", 20), ("pbkdf2-sha256", 32), ("pbkdf2-sha512", 64)]  # and their key sizes


def ab64(data):
    return base64.b64encode(data).decode().rstrip("=").replace("+", ".")


def passlib(stored):
    data = base64.b64decode(stored)
    if data[0] == 1:
        prf, rounds, size = struct.unpack(">III", data[1:13])
        salt, key = data[13 : 13 + size], data[13 + size :]
    else:
        prf, rounds, salt, key = 0, 1000, data[1:17], data[17:]
    name, most = PRFS[prf]  # the bytes after the first most are another block, which we do not need
    return f"${name}${rounds}${ab64(salt)}${ab64(key[:most])}"


for line in sys.stdin:
    user = json.loads(line)
    if user["password_hash"]:
        user["password_hash"] = passlib(user["password_hash"])
    print(json.dumps(user))
