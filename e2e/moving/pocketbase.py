"""The users of PocketBase since 0.23, with hashes of bcrypt as Go makes them."""

import os
import sqlite3

import bcrypt

import people

os.mkdir("pb_data")
with sqlite3.connect("pb_data/data.db") as db:
    db.execute("""CREATE TABLE users (
        avatar TEXT DEFAULT '' NOT NULL, created TEXT DEFAULT '' NOT NULL,
        email TEXT DEFAULT '' NOT NULL, emailVisibility BOOLEAN DEFAULT FALSE NOT NULL,
        id TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))),
        name TEXT DEFAULT '' NOT NULL, password TEXT DEFAULT '' NOT NULL,
        tokenKey TEXT DEFAULT '' NOT NULL, updated TEXT DEFAULT '' NOT NULL,
        verified BOOLEAN DEFAULT FALSE NOT NULL)""")
    for person in people.read():
        if person["password"] is None:
            continue
        db.execute("INSERT INTO users (email, name, password, created) VALUES (?, ?, ?, ?)", (
            person["email"], person["full_name"] or "",
            bcrypt.hashpw(person["password"].encode(), bcrypt.gensalt(10, b"2a")).decode(),
            person["created_at"].replace("T", " ").replace("Z", ".000Z")))
        people.expect(person, person["email"], email=person["email"], full_name=person["full_name"],
                      created_at=person["created_at"])
