"""What the sources in Python share: the people of standard input, and what is to come of them."""

import datetime
import json
import sys


def read():
    """Returns the people that the test wants."""
    return json.load(sys.stdin)


def expect(person, username, **fields):
    """Says what the import has to make of a person, in the fields of users.jsonl."""
    print(json.dumps({"username": username, "password": person["password"], **fields}))


def account(person):
    """Returns what most programs know of a person, in the fields of users.jsonl."""
    return {field: person[field] for field in ("email", "full_name", "disabled", "created_at")}


def milliseconds(person):
    """Returns when a person registered, in Unix time."""
    created = datetime.datetime.fromisoformat(person["created_at"].replace("Z", "+00:00"))
    return int(created.timestamp() * 1000)


def sql(value):
    """Returns a value as SQL, without backslashes that mean something."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value)
    return "'" + value.replace("'", "''") + "'"


def insert(table, row):
    """Returns the statement that inserts a row."""
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(map(sql, row.values()))});\n"
