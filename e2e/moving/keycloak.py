"""What kc.sh export writes: the realm in one file and the users in others, of all versions."""

import base64
import hashlib
import json
import os

from argon2.low_level import Type, hash_secret_raw

import people


def argon2(password, salt):
    key = hash_secret_raw(password, salt, 5, 7168, 1, 32, Type.ID)
    return key, {"hashIterations": 5, "algorithm": "argon2", "additionalParameters": {
        "hashLength": ["32"], "memory": ["7168"], "type": ["id"], "version": ["1.3"],
        "parallelism": ["1"]}}


def pbkdf2(name, function, rounds, size):
    return lambda password, salt: (
        hashlib.pbkdf2_hmac(function, password, salt, rounds, size),
        {"hashIterations": rounds, "algorithm": name, "additionalParameters": {}})


VERSIONS = {
    "since 25": argon2,
    "24": pbkdf2("pbkdf2-sha512", "sha512", 210_000, 64),
    "24 with SHA-256": pbkdf2("pbkdf2-sha256", "sha256", 600_000, 32),
    "before 24": pbkdf2("pbkdf2-sha256", "sha256", 27_500, 64),
    "before 24 with SHA-1": pbkdf2("pbkdf2", "sha1", 20_000, 64),
}


def credential(make, password):
    salt = os.urandom(16)
    key, how = make(password.encode(), salt)
    secret = {"value": base64.b64encode(key).decode(), "salt": base64.b64encode(salt).decode(),
              "additionalParameters": {}}
    return {"id": "", "type": "password", "createdDate": 0,
            "secretData": json.dumps(secret), "credentialData": json.dumps(how)}


def user(person, name, make):
    first, _, last = (person["full_name"] or "").partition(" ")
    otp = {"type": "otp", "secretData": "{}", "credentialData": "{}"}
    people.expect(person, name, **people.account(person))
    return {"username": name, "email": person["email"], "firstName": first, "lastName": last,
            "enabled": not person["disabled"], "createdTimestamp": people.milliseconds(person),
            "credentials": [otp, credential(make, person["password"])] if person["password"] else [],
            "realmRoles": ["default-roles-myrealm"], "groups": []}


everybody = people.read()
service = {"username": "service-account-api", "serviceAccountClientId": "api", "enabled": True,
           "createdTimestamp": 0}
files = {
    "realm": {"realm": "myrealm", "enabled": True},
    "users-0": {"realm": "myrealm", "users": [
        service, *(user(person, person["name"], argon2) for person in everybody)]},
    "users-1": {"realm": "myrealm", "users": [
        user(everybody[0], name, make) for name, make in VERSIONS.items()]},
}
os.mkdir("export")
for name, content in files.items():
    with open(f"export/myrealm-{name}.json", "w", encoding="utf-8") as f:
        json.dump(content, f)
