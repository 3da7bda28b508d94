"""What firebase auth:export writes, with hashes made as github.com/firebase/scrypt says.

The signer key is the one that its README uses. The test gives the same to the recipe.
"""

import base64
import hashlib
import json
import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import people

SIGNER_KEY = base64.b64decode(os.environ["SIGNER_KEY"])
SEPARATOR = base64.b64decode(os.environ["SALT_SEPARATOR"])


def firebase_hash(password, salt):
    cost = {"n": 2**14, "r": 8, "p": 1, "maxmem": 2**26, "dklen": 32}
    key = hashlib.scrypt(password.encode(), salt=salt + SEPARATOR, **cost)
    encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    return encryptor.update(SIGNER_KEY) + encryptor.finalize()


users = []
for person in people.read():
    user = {"localId": "id-of-" + person["name"], "email": person["email"], "emailVerified": True,
            "createdAt": str(people.milliseconds(person)), "disabled": person["disabled"]}
    if person["full_name"]:
        user["displayName"] = person["full_name"]
    if person["password"]:
        salt = os.urandom(10)
        user["salt"] = base64.b64encode(salt).decode()
        user["passwordHash"] = base64.b64encode(firebase_hash(person["password"], salt)).decode()
    users.append(user)
    people.expect(person, person["email"], **people.account(person))
with open("firebase.json", "w", encoding="utf-8") as f:
    json.dump({"users": users}, f)
