"""What Auth0's support sends: an object a line, with hashes of bcrypt."""

import json

import bcrypt

import people

with open("auth0.json", "w", encoding="utf-8") as f:
    for person in people.read():
        if person["password"] is None:
            continue
        line = {
            "_id": {"$oid": "5fc3d1a5e6a1b60071b1f6d3"}, "email": person["email"], "email_verified": True,
            "tenant": "example", "connection": "Username-Password-Authentication", "_tmp_is_unique": True,
            "passwordHash": bcrypt.hashpw(person["password"].encode(), bcrypt.gensalt(10)).decode(),
            "password_set_date": {"$date": person["created_at"]},
        }
        f.write(json.dumps(line) + "\n")
        people.expect(person, person["email"], email=person["email"])
