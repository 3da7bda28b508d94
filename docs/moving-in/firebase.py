"""Turns what firebase auth:export writes into users.jsonl.

    python3 firebase.py FILE SIGNER_KEY SALT_SEPARATOR ROUNDS MEM_COST > users.jsonl

The last four are in the Firebase console: Authentication, Users, Password hash parameters.
"""

import datetime
import json
import sys

file, signer_key, separator, rounds, mem_cost = sys.argv[1:]
separator = f",ss={separator}" if separator else ""
cost = f"$fbscrypt$v=1,n={mem_cost},r={rounds},p=1{separator},sk={signer_key}"


def standard(base64):
    """Returns base64 in the alphabet with + and /."""
    return base64.replace("-", "+").replace("_", "/")


with open(file, encoding="utf-8") as f:
    users = json.load(f)["users"]
for user in users:
    created = datetime.datetime.fromtimestamp(int(user["createdAt"]) / 1000, datetime.timezone.utc)
    line = {
        "username": user.get("email") or user["localId"],
        "email": user.get("email"),
        "full_name": user.get("displayName"),
        "disabled": user.get("disabled", False),
        "created_at": created.isoformat(),
        "password_hash": None,
    }
    if user.get("passwordHash"):
        line["password_hash"] = f"{cost}${standard(user['salt'])}${standard(user['passwordHash'])}"
    print(json.dumps(line))
