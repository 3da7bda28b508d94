"""The table of users of Supabase's GoTrue, with hashes of bcrypt as GoTrue makes them."""

import json
import uuid

import bcrypt

import people

TABLE = """
CREATE SCHEMA auth;
CREATE TABLE auth.users (
    instance_id uuid, id uuid PRIMARY KEY, aud varchar(255), role varchar(255), email varchar(255),
    encrypted_password varchar(255), email_confirmed_at timestamptz, last_sign_in_at timestamptz,
    raw_app_meta_data jsonb, raw_user_meta_data jsonb, is_super_admin boolean,
    created_at timestamptz, updated_at timestamptz, phone text UNIQUE, banned_until timestamptz,
    is_sso_user boolean NOT NULL DEFAULT false, deleted_at timestamptz,
    is_anonymous boolean NOT NULL DEFAULT false
);
"""


def row(**columns):
    return people.insert("auth.users", {"id": str(uuid.uuid4()), "aud": "authenticated", **columns})


with open("old.sql", "w", encoding="utf-8") as f:
    f.write(TABLE)
    for person in people.read():
        password, hash = person["password"], ""
        if password:
            hash = bcrypt.hashpw(password.encode(), bcrypt.gensalt(10, b"2a")).decode()
        f.write(row(
            email=person["email"], created_at=person["created_at"], encrypted_password=hash,
            raw_user_meta_data=json.dumps({"full_name": person["full_name"]}),
            banned_until="2999-01-01T00:00:00Z" if person["disabled"] else None))
        people.expect(person, person["email"], **people.account(person))
    f.write(row(email="gone@example.com", encrypted_password="", deleted_at="2024-01-01T00:00:00Z"))
    f.write(row(email=None, encrypted_password=None, phone="15550100"))
    f.write(row(email=None, is_anonymous=True))
