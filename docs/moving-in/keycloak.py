"""Turns the files that kc.sh export writes into users.jsonl.

    python3 keycloak.py FILE… > users.jsonl

Before version 25 Keycloak used PBKDF2, since then Argon2. Some keys are longer
than what the hash function makes at once; what is too long is a second block, which is not needed.
"""

import base64
import datetime
import json
import sys

PBKDF2 = {"pbkdf2": 20, "pbkdf2-sha256": 32, "pbkdf2-sha512": 64}  # the sizes of their keys
ARGON2 = {"1.0": 16, "1.3": 19}  # how its versions are written
UTC = datetime.timezone.utc


def b64(data):
    return base64.b64encode(data).decode().rstrip("=")


def password_hash(credential):
    how, secret = json.loads(credential["credentialData"]), json.loads(credential["secretData"])
    salt, key = base64.b64decode(secret["salt"]), base64.b64decode(secret["value"])
    name, rounds = how["algorithm"], how["hashIterations"]
    if name == "argon2":
        of = {name: values[0] for name, values in how["additionalParameters"].items()}
        cost = f"v={ARGON2[of['version']]}$m={of['memory']},t={rounds},p={of['parallelism']}"
        return f"$argon2{of['type']}${cost}${b64(salt)}${b64(key)}"
    if name not in PBKDF2:
        return name  # which the import will refuse, with the number of the line
    return f"${name}${rounds}${b64(salt)}${b64(key[:PBKDF2[name]])}".replace("+", ".")


for file in sys.argv[1:]:
    with open(file, encoding="utf-8") as f:
        users = json.load(f).get("users", [])
    for user in users:
        if "serviceAccountClientId" in user:
            continue
        passwords = [c for c in user.get("credentials", []) if c["type"] == "password"]
        created = datetime.datetime.fromtimestamp(user["createdTimestamp"] / 1000, UTC)
        names = filter(None, [user.get("firstName"), user.get("lastName")])
        print(json.dumps({
            "username": user["username"], "email": user.get("email"),
            "full_name": " ".join(names) or None, "disabled": not user["enabled"],
            "created_at": created.isoformat(),
            "password_hash": password_hash(passwords[0]) if passwords else None,
        }))
