"""The table of ASP.NET Core Identity, with hashes as its PasswordHasher writes them."""

import base64
import hashlib
import os
import struct

import people

TABLE = """
CREATE TABLE "AspNetUsers" (
    "Id" text PRIMARY KEY, "UserName" varchar(256), "NormalizedUserName" varchar(256),
    "Email" varchar(256), "EmailConfirmed" boolean NOT NULL DEFAULT true, "PasswordHash" text,
    "SecurityStamp" text, "LockoutEnd" timestamptz, "LockoutEnabled" boolean NOT NULL DEFAULT true,
    "AccessFailedCount" int NOT NULL DEFAULT 0
);
"""


def version3(prf, function, rounds):
    def make(password):
        salt = os.urandom(16)
        key = hashlib.pbkdf2_hmac(function, password.encode(), salt, rounds, 32)
        return b"\x01" + struct.pack(">III", prf, rounds, len(salt)) + salt + key
    return make


def version2(password):
    salt = os.urandom(16)
    return b"\x00" + salt + hashlib.pbkdf2_hmac("sha1", password.encode(), salt, 1000, 32)


NET7 = version3(2, "sha512", 100_000)
VERSIONS = {
    "net-7": NET7, "net-6": version3(1, "sha256", 10_000), "sha-1": version3(0, "sha1", 1000),
    "v2": version2,
}


def row(person, name, make):
    password = person["password"]
    people.expect(person, name, email=person["email"], disabled=person["disabled"])
    return people.insert('"AspNetUsers"', {
        '"Id"': name, '"UserName"': name, '"Email"': person["email"],
        '"PasswordHash"': password and base64.b64encode(make(password)).decode(),
        '"LockoutEnd"': "9999-12-31T23:59:59Z" if person["disabled"] else None})


everybody = people.read()
with open("old.sql", "w", encoding="utf-8") as f:
    f.write(TABLE)
    f.writelines(row(person, person["name"], NET7) for person in everybody)
    f.writelines(row(everybody[0], name, make) for name, make in VERSIONS.items())
